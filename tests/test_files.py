"""Places on disk: paths as they are typed, and results that appear together or not at all."""

from pathlib import Path

import pytest

from helpers import InputError
from tests.guards import caught
from tools.files import nearest_folder, put_in_place, typed_path


def test_the_home_folder_may_be_typed_as_a_wave(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_path("~/log.csv") == tmp_path / "log.csv"
    assert typed_path("runs/x") == Path("runs/x")


def test_the_wave_of_a_stranger_stands_for_itself():
    assert typed_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_the_nearest_folder_is_one_that_exists(tmp_path):
    (tmp_path / "file").touch()
    assert nearest_folder(tmp_path) == tmp_path
    for place in ("new", "new/deep/deeper", "file", "file/new"):
        assert nearest_folder(tmp_path / place) == tmp_path


@pytest.fixture
def workshop(tmp_path) -> Path:
    """A folder with two files that are to go to another one."""
    folder = tmp_path / "workshop"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("new", encoding="utf-8")
    return folder


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.is_file()}


def test_files_replace_those_of_their_names_and_no_others(workshop, tmp_path):
    out = tmp_path / "far" / "out"
    put_in_place(workshop, out)
    assert texts(out) == {"a.txt": "new", "b.txt": "new"} and texts(workshop) == {}
    (out / "c.txt").write_text("old", encoding="utf-8")
    (workshop / "a.txt").write_text("newer", encoding="utf-8")
    put_in_place(workshop, out)
    assert texts(out) == {"a.txt": "newer", "b.txt": "new", "c.txt": "old"}


def guard_refusal(put, workshop: Path, out: Path) -> None:
    """Where a folder has the name of one file, the other stays as it is."""
    with pytest.raises(InputError, match=r"b\.txt \(a folder has that name\)\. Move it away\."):
        put(workshop, out)
    assert texts(out) == {"a.txt": "old"}
    assert texts(workshop) == {"a.txt": "new", "b.txt": "new"}


def one_by_one(workshop: Path, out: Path) -> None:
    """The fault: each file is looked at only when it is its turn."""
    for path in sorted(workshop.iterdir()):
        if (out / path.name).is_dir():
            raise InputError(f"{out / path.name} (a folder has that name). Move it away.")
        path.replace(out / path.name)


def test_nothing_moves_where_one_file_cannot(workshop, tmp_path):
    out = tmp_path / "out"
    (out / "b.txt").mkdir(parents=True)
    (out / "a.txt").write_text("old", encoding="utf-8")
    guard_refusal(put_in_place, workshop, out)
    caught(lambda put: guard_refusal(put, workshop, out), one_by_one)


def test_a_file_is_no_folder_for_results(workshop, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"out \(a file has that name\)\. Move it away\."):
        put_in_place(workshop, tmp_path / "out")
    assert (tmp_path / "out").read_text("utf-8") == "mine"
