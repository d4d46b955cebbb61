"""nbval does not look at pictures. The hook here does.

A re-drawn picture must not differ grossly from the stored one.
"""

import base64
import os
import signal
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests import kernels, notebook_checks
from tools import command, notebooks

NOTEBOOKS = [*notebooks.find(), *notebooks.find_solutions()]
LEFT_OUT = [path for path in NOTEBOOKS if notebooks.missing_package(path)]
collect_ignore = [str(path) for path in LEFT_OUT]  # nbval cannot skip a notebook
# Of the ink: a shift by a pixel or a stretch by half a per cent gives 0.07 to 0.3, an empty picture
# gives 1.
GROSS = 0.4
# The tests neither read nor write anybody's predictions.
NOBODY = tempfile.TemporaryDirectory(prefix="predictions-")
kernels.use()
os.environ["AB_PREDICTIONS"] = str(Path(NOBODY.name) / "predictions.json")


def picture_difference(stored: str, fresh: str) -> float:
    """How far the ink of two base64 PNGs differs, as a share of the stored ink.

    It is infinite if sizes differ by over 3 %. Both are made grey and blurred a little first, so
    that another drawing of the same letters and lines counts less.
    """
    images = [Image.open(BytesIO(base64.b64decode(png))).convert("L") for png in (stored, fresh)]
    widths, heights = zip(*(image.size for image in images), strict=True)
    if max(widths) > 1.03 * min(widths) or max(heights) > 1.03 * min(heights):
        return float("inf")
    size = (min(widths), min(heights))
    blurred = [image.resize(size).filter(ImageFilter.GaussianBlur(3)) for image in images]
    old, new = (255 - np.asarray(image, dtype=float) for image in blurred)
    return float(np.sqrt(np.mean((old - new) ** 2) / max(np.mean(old**2), 1e-9)))


@pytest.fixture(autouse=True)
def signals_as_before():
    """A command that was stopped leaves signals ignored: its process is about to end, ours is not.

    The next test, and the programs that it starts, hear them again.
    """
    before = {number: signal.getsignal(number) for number in command.STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def small_course(tmp_path, monkeypatch) -> Path:
    """A course of two notebooks, 02 and 03, that can be changed; commands take it for theirs."""
    course = tmp_path / "course"
    (course / "notebooks").mkdir(parents=True)
    for path in notebooks.find():
        if path.name[:2] in ("02", "03"):
            (course / "notebooks" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(notebooks, "ROOT", course)
    return course


def pictures(outputs: list) -> list[str]:
    """The pictures among the outputs of a cell, as base64 PNGs."""
    shown = [output.get("data", {}) for output in outputs]
    return [data["image/png"] for data in shown if "image/png" in data]


def pytest_terminal_summary(terminalreporter):
    """Say which notebooks were left out, and how much of each page carries its idea."""
    for path in notebooks.find():
        measures = notebook_checks.page_measures(notebook_checks.read(path))
        terminalreporter.write_line(f"{path.name[:2]}: {measures}")
    for path in LEFT_OUT:
        why = f"it needs {notebooks.missing_package(path)}, which `make .venv` installs"
        terminalreporter.write_line(f"{path.parent.name}/{path.name} was left out: {why}.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has compared a cell's texts, compare its pictures with the stored ones."""
    result = yield
    compared = hasattr(item, "test_outputs")
    if compared and "nbval-ignore-output" not in item.cell.metadata.get("tags", []):
        pairs = zip(pictures(item.cell.outputs), pictures(item.test_outputs), strict=True)
        for stored, fresh in pairs:
            difference = picture_difference(stored, fresh)
            said = f"the picture has changed: {difference:.2f} of its ink, allowed {GROSS}"
            assert difference <= GROSS, said
    return result
