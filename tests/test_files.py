"""Places on disk: paths as they are typed, and results that appear together or not at all."""

import json
import os
import shutil
from pathlib import Path

import pytest

from helpers import InputError
from tests.guards import caught, guard_message
from tools import command, files
from tools.files import (
    UNFINISHED,
    as_file_name,
    as_folder,
    clear_abandoned,
    nearest_folder,
    put_in_place,
    typed_path,
)
from tools.files import workshop as workshop_in


def test_the_home_folder_may_be_typed_as_a_wave(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_path("~/log.csv") == tmp_path / "log.csv"
    assert typed_path("runs/x") == Path("runs/x")


def test_the_wave_of_a_stranger_stands_for_itself():
    assert typed_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize("text", ["", "a\nb", "\x1b[31m", "a\x00b"])
def test_what_is_no_path_is_told_by_argparse(text, capsys):
    parser = command.Parser("x", None)
    parser.add_argument("--out", type=typed_path)
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", text])
    said = capsys.readouterr().err
    shown = ascii(text)[1:-1]
    told = f"--out: '{shown}' is no path: give one, without control characters\n"
    assert said.endswith(told) and len(said.splitlines()) == 2


def test_the_nearest_folder_is_one_that_exists(tmp_path):
    (tmp_path / "file").touch()
    assert nearest_folder(tmp_path) == tmp_path
    for place in ("new", "new/deep/deeper", "file", "file/new"):
        assert nearest_folder(tmp_path / place) == tmp_path


@pytest.mark.parametrize(
    "name", ["file", "file/below", "loop", "loop/below", "x" * 300, "lost", "lost/below/it"]
)
def test_what_is_no_place_for_a_folder_is_told(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("gone")
    guard_message(lambda: as_folder(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop", "lost"]


def test_a_folder_may_be_new_or_behind_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert (
        as_folder(Path("link/a/b")) == tmp_path / "real/a/b"
        and as_folder(Path("new")).is_absolute()
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("spring sale.csv", "spring-sale-csv"),
        ("../../x", "x"),
        ("***", ""),
        ("größer 日本", "größer-日本"),
    ],
)
def test_any_text_makes_a_part_of_a_file_name(text, name):
    assert as_file_name(text) == name


# Workshops


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(f"{UNFINISHED}*")]


def test_a_workshop_is_there_while_it_is_needed(tmp_path):
    with workshop_in(tmp_path / "new/out") as folder:
        assert folder.parent == tmp_path and unfinished(tmp_path) == [folder.name]
        with workshop_in(tmp_path / "other") as second:  # another command, meanwhile
            assert len({folder, second}) == 2
        assert unfinished(tmp_path) == [folder.name]
    assert unfinished(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), workshop_in(tmp_path):
        raise KeyboardInterrupt
    assert unfinished(tmp_path) == []


def test_a_place_that_cannot_be_made_later_is_told_now(tmp_path):
    with (
        pytest.raises(OSError, match="File name too long"),
        workshop_in(tmp_path / "new" / ("x" * 300)),
    ):
        pytest.fail("the work has begun")
    assert list(tmp_path.iterdir()) == []


def old(folder: Path) -> Path:
    """The same folder, as if it had been made a while ago."""
    os.utime(folder, (0, 0))
    return folder


def guard_abandoned(clear, tmp_path: Path) -> None:
    """What nobody holds goes, and nothing else."""
    for name in (".unfinished-a", ".unfinished-b", "unfinished", ".unfinished"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "half.ipynb").touch()
        old(tmp_path / name)
    (tmp_path / ".unfinished-file").touch()
    if not (tmp_path / ".unfinished-link").is_symlink():
        (tmp_path / ".unfinished-link").symlink_to(tmp_path / "unfinished")
    with workshop_in(tmp_path / "out") as held:
        old(held)
        clear(tmp_path)
        assert held.exists()
    left = {".unfinished-file", ".unfinished-link"}
    assert set(unfinished(tmp_path)) == left and (tmp_path / "unfinished/half.ipynb").exists()


def all_of_them(folder: Path) -> None:
    """The fault: those that another command holds go as well."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def none_of_them(_folder: Path) -> None:
    """The fault: what a killed command left stays for ever."""


def test_what_a_killed_command_left_is_cleared(tmp_path, monkeypatch):
    guard_abandoned(clear_abandoned, tmp_path)
    for fault in (all_of_them, none_of_them):
        monkeypatch.setattr(files, "clear_abandoned", lambda _folder: None)
        caught(lambda clear: guard_abandoned(clear, tmp_path), fault)


def test_the_next_workshop_clears(tmp_path):
    (tmp_path / ".unfinished-a").mkdir()
    old(tmp_path / ".unfinished-a")
    with workshop_in(tmp_path / "out") as folder:
        assert unfinished(tmp_path) == [folder.name]


# Results that are put in place


@pytest.fixture
def workshop(tmp_path) -> Path:
    """A folder with two files that are to go to another one."""
    folder = tmp_path / "workshop"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("new", encoding="utf-8")
    return folder


def texts(folder: Path) -> dict[str, str]:
    """What stands in the files of a folder, less the note of who made them."""
    return {
        path.name: path.read_text("utf-8")
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".made_by")
    }


def guard_place(put, workshop: Path, out: Path) -> None:
    """A command replaces what it made, for the same data, and nothing else; all files or none."""
    put(workshop, out, "test", "mine.csv")
    assert texts(out) == {"a.txt": "new", "b.txt": "new"} and texts(workshop) == {}
    (out / "c.txt").write_text("mine", encoding="utf-8")
    for name in ("a.txt", "b.txt"):
        (workshop / name).write_text("newer", encoding="utf-8")
    for change, said in (
        (lambda: put(workshop, out, "test", "yours.csv"), "holds results of mine.csv"),
        (lambda: put(workshop, out, "other", "mine.csv"), "not as this command left it"),
        (lambda: put(workshop, out), "not as this command left it"),
    ):
        with pytest.raises(InputError, match=said):
            change()
    (workshop / "c.txt").write_text("newer", encoding="utf-8")
    with pytest.raises(InputError, match=r"c\.txt is not as this command left it\. Move it away"):
        put(workshop, out, "test", "mine.csv")
    (workshop / "c.txt").unlink()
    (out / "b.txt").write_text("by hand", encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.txt is not as this command left it"):
        put(workshop, out, "test", "mine.csv")
    assert texts(out) == {"a.txt": "new", "b.txt": "by hand", "c.txt": "mine"}
    (out / "b.txt").unlink()
    put(workshop, out, "test", "mine.csv")
    assert texts(out) == {"a.txt": "newer", "b.txt": "newer", "c.txt": "mine"}


def whatever(workshop: Path, out: Path, *_who: str) -> None:
    """The fault: what stands there is replaced."""
    out.mkdir(parents=True, exist_ok=True)
    for path in workshop.iterdir():
        path.replace(out / path.name)


def test_a_command_replaces_its_own_files_and_no_others(workshop, tmp_path):
    guard_place(put_in_place, workshop, tmp_path / "far/out")
    for name in ("a.txt", "b.txt"):
        (workshop / name).write_text("new", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception):  # nothing is refused
        guard_place(whatever, workshop, tmp_path / "out")


def test_a_link_is_not_replaced(workshop, tmp_path):
    """Not even one that leads to what the command made: somebody put it elsewhere."""
    out = tmp_path / "out"
    put_in_place(workshop, out, "test")
    (out / "a.txt").rename(tmp_path / "mine")
    (out / "a.txt").symlink_to(tmp_path / "mine")
    (workshop / "a.txt").write_text("newer", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt is not as this command left it"):
        put_in_place(workshop, out, "test")
    assert (out / "a.txt").is_symlink()


@pytest.mark.parametrize("note", ["", "[]", '{"files": 1}', "[" * 100_000, "\x00"])
def test_a_broken_note_makes_nothing_ours(workshop, tmp_path, note):
    put_in_place(workshop, tmp_path / "out", "test")
    (tmp_path / "out/.made_by_test.json").write_text(note, encoding="utf-8")
    (workshop / "a.txt").write_text("newer", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt is not as this command left it"):
        put_in_place(workshop, tmp_path / "out", "test")


def guard_refusal(put, workshop: Path, out: Path) -> None:
    """Where a folder has the name of one file, the other stays as it is."""
    with pytest.raises(InputError, match=r"b\.txt \(a folder has that name\)\. Move it away\."):
        put(workshop, out, "test")
    assert texts(out) == {"a.txt": "old"}
    assert texts(workshop) == {"a.txt": "new", "b.txt": "new"}


def one_by_one(workshop: Path, out: Path, _name: str) -> None:
    """The fault: each file is looked at only when it is its turn."""
    for path in sorted(workshop.iterdir()):
        if (out / path.name).is_dir():
            raise InputError(f"{out / path.name} (a folder has that name). Move it away.")
        path.replace(out / path.name)


def test_nothing_moves_where_one_file_cannot(workshop, tmp_path):
    out = tmp_path / "out"
    (out / "b.txt").mkdir(parents=True)
    (out / "a.txt").write_text("old", encoding="utf-8")
    sums = {"a.txt": files.checksum(out / "a.txt")}
    (out / files.made_by("test")).write_text(json.dumps({"of": "", "files": sums}), "utf-8")
    guard_refusal(put_in_place, workshop, out)
    caught(lambda put: guard_refusal(put, workshop, out), one_by_one)


def test_a_file_is_no_folder_for_results(workshop, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"out \(a file has that name\)\. Move it away\."):
        put_in_place(workshop, tmp_path / "out")
    assert (tmp_path / "out").read_text("utf-8") == "mine"
