"""nbval does not look at pictures. This hook does: a re-drawn picture must not differ grossly from the stored one."""

import base64
import os
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tools import rerun

NOTEBOOKS = [*rerun.notebook_files(), *rerun.solution_files()]
LEFT_OUT = {path: package for path in NOTEBOOKS if (package := rerun.missing_package(path))}
collect_ignore = [str(path) for path in LEFT_OUT]  # nbval cannot skip a notebook
GROSS = 0.4  # of the ink; a shift by a pixel or a stretch by half a per cent gives 0.07 to 0.3, an empty picture 1
NOBODY = tempfile.TemporaryDirectory(
    prefix="predictions-"
)  # the tests neither read nor write anybody's predictions
os.environ["AB_PREDICTIONS"] = str(Path(NOBODY.name) / "predictions.json")


def picture_difference(stored: str, fresh: str) -> float:
    """How far the ink of two base64 PNGs differs, as a share of the stored ink; infinite if sizes differ by over 3 %.

    Both are made grey and blurred a little first, so that another drawing of the same letters and lines counts less.
    """
    images = [Image.open(BytesIO(base64.b64decode(png))).convert("L") for png in (stored, fresh)]
    widths, heights = zip(*(image.size for image in images), strict=True)
    if max(widths) > 1.03 * min(widths) or max(heights) > 1.03 * min(heights):
        return float("inf")
    images = [
        image.resize((min(widths), min(heights))).filter(ImageFilter.GaussianBlur(3))
        for image in images
    ]
    old, new = (255 - np.asarray(image, dtype=float) for image in images)
    return float(np.sqrt(np.mean((old - new) ** 2) / max(np.mean(old**2), 1e-9)))


def pictures(outputs: list) -> list[str]:
    return [
        output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]


def pytest_terminal_summary(terminalreporter):
    for path, package in LEFT_OUT.items():
        terminalreporter.write_line(
            f"{path.parent.name}/{path.name} was left out: it needs {package}, which `make .venv` installs."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has compared a cell's texts, compare its pictures with the stored ones."""
    result = yield
    if hasattr(item, "test_outputs") and "nbval-ignore-output" not in item.cell.metadata.get(
        "tags", []
    ):
        pairs = zip(pictures(item.cell.outputs), pictures(item.test_outputs), strict=True)
        for stored, fresh in pairs:
            difference = picture_difference(stored, fresh)
            assert difference <= GROSS, (
                f"the picture has changed: {difference:.2f} of its ink, allowed {GROSS}"
            )
    return result
