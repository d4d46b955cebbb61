"""The README's picture is the one that `make picture` draws."""

from base64 import b64encode

import pytest

from conftest import GROSS, picture_difference
from tools import readme_picture


@pytest.mark.parametrize("effect", [3.0, 0.0])
def test_readme_picture_is_what_the_project_draws(tmp_path, monkeypatch, effect):
    """Drawn anew it is the same picture; with another effect planted it is seen to differ."""
    stored = b64encode(readme_picture.PICTURE.read_bytes()).decode()
    monkeypatch.setattr(readme_picture, "PICTURE", tmp_path / "fresh.png")
    monkeypatch.setattr(readme_picture, "EFFECT", effect)
    readme_picture.draw()
    fresh = b64encode((tmp_path / "fresh.png").read_bytes()).decode()
    assert (picture_difference(stored, fresh) < GROSS) == (effect == 3.0)
