"""The learner's own copy: all notebooks, no outputs, nothing overwritten, nothing half-written."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from tests.guards import caught
from tools import class_sets, my, notebooks


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def guard_copies(make, folder: Path) -> None:
    """Every notebook is there as it is in the course, but for outputs; no solutions, no rests."""
    shutil.rmtree(folder, ignore_errors=True)
    make(folder)
    assert names(folder) == [path.name for path in notebooks.find()]
    for path in notebooks.find():
        ours = notebooks.read(path)
        theirs = notebooks.read(folder / path.name)
        for cell in theirs.cells:
            if cell.cell_type == "code":
                assert cell.outputs == [] and cell.execution_count is None
        kept = [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in ours.cells]
        assert kept == [
            (cell.id, cell.cell_type, cell.source, cell.metadata) for cell in theirs.cells
        ]
        assert (ours.metadata, ours.nbformat) == (theirs.metadata, theirs.nbformat)


def leaves_an_output(folder: Path) -> None:
    my.make(folder)
    path = folder / "03_t_test.ipynb"
    path.write_bytes((notebooks.ROOT / "notebooks" / path.name).read_bytes())


def loses_the_tags(folder: Path) -> None:
    my.make(folder)
    notebook = notebooks.read(folder / "03_t_test.ipynb")
    notebooks.parameter_cells(notebook)[0].metadata = {}
    nbformat.write(notebook, folder / "03_t_test.ipynb")


def copies_solutions_too(folder: Path) -> None:
    my.make(folder)
    shutil.copytree(notebooks.ROOT / "notebooks/solutions", folder / "solutions")


def test_the_copies_are_the_course_without_outputs(tmp_path):
    guard_copies(my.make, tmp_path / "my")
    for faulty in (leaves_an_output, loses_the_tags, copies_solutions_too):
        caught(lambda make: guard_copies(make, tmp_path / "my"), faulty)


def guard_answers(make, folder: Path) -> None:
    """What is there stays, be it broken; what is missing comes; then there is no more to do."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "03_t_test.ipynb").write_text("my answer", encoding="utf-8")
    (folder / "predictions.json").write_text("{}", encoding="utf-8")
    made = make(folder)
    assert made == ["02_simulated_assignment.ipynb"]
    assert names(folder) == [*made, "03_t_test.ipynb", "predictions.json"]
    assert (folder / "03_t_test.ipynb").read_text("utf-8") == "my answer"
    (folder / made[0]).write_text("another", encoding="utf-8")
    assert make(folder) == [] and (folder / made[0]).read_text("utf-8") == "another"


def overwrites(folder: Path) -> list[str]:
    found = my.make(folder)
    notebook = my.cleared(notebooks.ROOT / "notebooks/03_t_test.ipynb")
    nbformat.write(notebook, folder / "03_t_test.ipynb")
    return found


def test_answers_are_never_overwritten(small_course):
    guard_answers(my.make, small_course / "my")
    caught(lambda make: guard_answers(make, small_course / "my"), overwrites)


def test_a_link_that_leads_nowhere_is_not_replaced(small_course):
    (small_course / "my").mkdir()
    link = small_course / "my/03_t_test.ipynb"
    link.symlink_to(small_course / "gone.ipynb")
    assert my.make(small_course / "my") == ["02_simulated_assignment.ipynb"]
    assert link.is_symlink()


def test_a_duplicate_in_the_course_keeps_nobody_from_learning(small_course):
    """Other commands refuse two notebooks with one number."""
    path = small_course / "notebooks/03_t_test.ipynb"
    path.with_stem("03_t_test-Copy1").write_bytes(path.read_bytes())
    assert len(my.make(small_course / "my")) == 3


def test_one_line_says_what_was_made_and_silence_that_all_is_there(small_course, capsys):
    folder = small_course / "my"
    assert my.main([]) == 0
    assert capsys.readouterr().out == f"Copied 2 notebooks to {folder}\n"
    assert my.main([]) == 0
    (folder / "03_t_test.ipynb").unlink()
    assert capsys.readouterr() == ("", "")
    assert my.main([]) == 0
    assert capsys.readouterr().out == f"Copied 03_t_test.ipynb to {folder}\n"


# Refusals


def no_space(notebook, path: Path) -> None:
    """Half a notebook, then the disk is full."""
    if not path.name.startswith("02"):
        path.write_text(nbformat.writes(notebook)[:100], encoding="utf-8")
        raise OSError(28, "No space left on device")
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def no_permission(**_place) -> str:
    raise PermissionError(13, "Permission denied")


def disk_full(_course: Path, patch) -> None:
    patch.setattr(nbformat, "write", no_space)


def unwritable(_course: Path, patch) -> None:
    """As root may write anywhere, the permission is taken away by hand."""
    patch.setattr(tempfile, "mkdtemp", no_permission)


def a_file(course: Path, _patch) -> None:
    (course / "my").write_text("mine", encoding="utf-8")


def a_lost_link(course: Path, _patch) -> None:
    (course / "my").symlink_to(course / "gone")


def broken(course: Path, _patch) -> None:
    (course / "notebooks/03_t_test.ipynb").write_text("<<<<<<< HEAD\n{", encoding="utf-8")


FULL = "my (No space left on device). Mend that, and try again."
DENIED = "my (Permission denied). Mend that, and try again."
BROKEN = "03_t_test.ipynb is no notebook (NotJSONError"
REFUSALS = [
    (disk_full, False, FULL),
    (disk_full, True, FULL),
    (unwritable, False, DENIED),
    (unwritable, True, DENIED),
    (broken, False, BROKEN),
    (broken, True, BROKEN),
    (a_file, False, "my is a file. Move it away."),
    (a_lost_link, False, "my is a link that leads nowhere). Move it away."),
]


@pytest.mark.parametrize(("fault", "there", "said"), REFUSALS)
def test_what_cannot_be_made_is_told_and_leaves_nothing(
    small_course, monkeypatch, capsys, fault, there, said
):
    """Neither a file cut short nor one notebook of two, in a new folder or one that is there."""
    if there:
        (small_course / "my").mkdir()
        (small_course / "my/notes.txt").write_text("mine", encoding="utf-8")
    fault(small_course, monkeypatch)
    before = sorted(small_course.rglob("*"))
    assert my.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("tools.my: ") and said in printed.err
    assert len(printed.err.splitlines()) <= 2
    assert sorted(small_course.rglob("*")) == before


def test_a_half_written_file_would_be_seen(small_course, monkeypatch):
    """The fault: files written where they are to stand."""

    def in_place(folder):
        folder.mkdir()
        for path in notebooks.numbered():
            nbformat.write(my.cleared(path), folder / path.name)

    def guard(make):
        with pytest.raises(OSError) if make is in_place else pytest.raises(my.InputError):
            make(small_course / "my")
        assert not (small_course / "my").exists()

    monkeypatch.setattr(nbformat, "write", no_space)
    guard(my.make)
    caught(guard, in_place)


# In a class set, and from anywhere


def imported(module: str) -> set[str]:
    """The modules of tools that a module of tools imports, and what these import."""
    tree = ast.parse((notebooks.ROOT / "tools" / f"{module}.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "tools":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tools."):
            found.add(node.module.removeprefix("tools."))
    return found.union(*map(imported, found))


def lacking(files: set[str]) -> set[str]:
    """What a class set would need for `make lab` and for re-runs."""
    modules = {"__init__", "my", "rerun"} | imported("my") | imported("rerun")
    return {f"tools/{module}.py" for module in modules} - files


def test_a_class_set_carries_what_its_commands_import():
    files = set(class_sets.FILES.split())
    assert lacking(files) == set()
    for name in ("tools/files.py", "tools/notebooks.py", "tools/__init__.py"):
        assert lacking(files - {name}) == {name}


def test_the_command_works_from_anywhere(tmp_path):
    command = [sys.executable, "-m", "tools.my", "--help"]
    env = os.environ | {"PYTHONPATH": str(notebooks.ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "Make your own copy" in done.stdout, done.stderr
