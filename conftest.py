"""nbval does not look at pictures. This hook does: a re-drawn picture must not differ grossly from the stored one."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

GROSS = 25.0  # root mean square difference of grey levels (0 to 255); another interpreter gives at most 12


def picture_difference(stored: str, fresh: str) -> float:
    """Root mean square difference of two base64 PNGs in grey levels; infinite if their sizes differ by over 3 %."""
    images = [Image.open(BytesIO(base64.b64decode(png))).convert("L") for png in (stored, fresh)]
    widths, heights = zip(*(image.size for image in images), strict=True)
    if max(widths) > 1.03 * min(widths) or max(heights) > 1.03 * min(heights):
        return float("inf")
    a, b = (np.asarray(image.resize((min(widths), min(heights))), dtype=float) for image in images)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def pictures(outputs: list) -> list[str]:
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has compared a cell's texts, compare its pictures with the stored ones."""
    result = yield
    if hasattr(item, "test_outputs") and "nbval-ignore-output" not in item.cell.metadata.get("tags", []):
        pairs = zip(pictures(item.cell.outputs), pictures(item.test_outputs), strict=True)
        for stored, fresh in pairs:
            difference = picture_difference(stored, fresh)
            assert difference <= GROSS, f"the picture has changed: difference {difference:.0f}, allowed {GROSS:.0f}"
    return result
