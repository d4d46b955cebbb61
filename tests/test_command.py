"""How commands end: exit codes, messages of a line or two, Ctrl-C and SIGTERM at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers import InputError
from tests.guards import caught
from tools import command, files, notebooks


def ending(work, capsys, **options) -> tuple[int, str]:
    code = command.run("tools.test", work, **options)
    return code, capsys.readouterr().err


def refuses(message: str, knob: str = ""):
    def work() -> int:
        raise InputError(message, knob)

    return work


def is_stopped() -> int:
    raise KeyboardInterrupt


def test_every_ending(capsys):
    assert ending(lambda: 0, capsys) == (0, "")
    assert ending(lambda: 1, capsys) == (1, "")
    assert ending(refuses("No. Go."), capsys) == (2, "tools.test: No. Go.\n")
    stopped = "tools.test: stopped; nothing was written.\n"
    assert ending(is_stopped, capsys) == (130, stopped)
    left = "the rest stays"
    assert ending(is_stopped, capsys, when_stopped=left)[1] == f"tools.test: stopped; {left}.\n"
    with pytest.raises(ZeroDivisionError):  # a fault of ours is no fault of the reader's
        command.run("tools.test", lambda: 1 // 0)


def test_a_knob_is_named_as_it_is_typed(capsys):
    for knob, said in {"out": "--out is 9.", "log_file": "--log is 9.", "n": "n is 9."}.items():
        told = ending(refuses("is 9.", knob), capsys, options=("out", "log_file"))
        assert told == (2, f"tools.test: {said}\n")


HANDLERS = [signal.getsignal(number) for number in command.STOPS]


@pytest.mark.parametrize("work", [lambda: 0, refuses("No."), is_stopped])
def test_afterwards_signals_are_what_they_were(work, capsys):
    ending(work, capsys)
    assert [signal.getsignal(number) for number in command.STOPS] == HANDLERS


def test_options_are_typed_in_full_and_errors_are_short(capsys):
    parser = command.Parser("x", "What it does:\n  this and that")
    parser.add_argument("--seed", type=int)
    for typed in (["--see", "1"], ["--seed", "x" * 100_000], ["\x1b[31m" + "y" * 100_000]):
        with pytest.raises(SystemExit) as stopped:
            parser.parse_args(typed)
        said = capsys.readouterr().err
        assert stopped.value.code == 2 and len(said) < 500 and "\x1b" not in said
    assert "What it does:\n  this and that" in parser.format_help()


def test_a_reader_who_has_seen_enough_is_no_error():
    code = "from tools import command; exit(command.run('x', lambda: print('a' * 10**7)))"
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=notebooks.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run.stdout.read(10)
    run.stdout.close()
    assert (run.stderr.read(), run.wait(timeout=60)) == ("", 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_under_what_is_printed_is_told():
    """Also where it is full only when the last of it is written, at the very end."""
    code = "from tools import command; exit(command.run('x', lambda: print('a') or 0))"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=notebooks.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = "x: No space left on device. Make room, and call again.\n"
    assert (run.returncode, run.stderr) == (2, said)


def test_a_closed_stdout_is_no_error():
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', '{}'])"
    inner = 'from tools import command; exit(command.run("x", lambda: print("a") or 0))'
    command_line = [sys.executable, "-c", code.format(inner)]
    run = subprocess.run(command_line, cwd=notebooks.ROOT, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_other_faults_of_the_system_are_not_hidden():
    def fails() -> int:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        command.run("x", fails)


def test_a_folder_that_is_gone_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = "tools.test: The folder you are in is gone. Change to another.\n"
    assert ending(lambda: 0, capsys) == (2, said)


# A process that is stopped


@pytest.fixture
def sleeper(tmp_path) -> Path:
    """A course of one notebook, which sleeps."""
    folder = tmp_path / "course/notebooks"
    folder.mkdir(parents=True)
    source = "target_cluster = 1\nseed = 42"
    knobs = new_code_cell(source, metadata={"tags": ["parameters"]})
    code = "import os, time\nopen('half.csv', 'w').write(str(os.getpid()))\ntime.sleep(100)"
    nbformat.write(new_notebook(cells=[knobs, new_code_cell(code)]), folder / "01_a.ipynb")
    return tmp_path


# In a shell's background Ctrl-C is ignored, hence the first lines.
RERUN = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tools import notebooks, rerun
notebooks.ROOT = pathlib.Path({folder!r}) / "course"
sys.exit(rerun.main(["--target-cluster", "1", "--out", {folder!r} + "/out/deep"]))
"""
# The same without what takes long to import.
BARE = """
import pathlib, sys
from tools import command, files, notebooks
{fault}
folder = pathlib.Path({folder!r})
series = {{"01_a": notebooks.read(folder / "course/notebooks/01_a.ipynb")}}
def work():
    with files.workshop(folder / "out") as workshop:
        notebooks.execute_all(series, workshop, lambda *_given, **_more: None)
sys.exit(command.run("helpers.rerun", work))
"""


def stopped(
    folder: Path, numbers: list[int], code: str = BARE, fault: str = ""
) -> tuple[int, str, int, list[str]]:
    """What is left of a command that gets signals: exit code, message, its kernel, files."""
    run = subprocess.Popen(
        [sys.executable, "-c", code.format(folder=str(folder), fault=fault)],
        cwd=notebooks.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        kernel = 0
        deadline = time.monotonic() + 100
        while not kernel and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            for half in folder.glob(".unfinished-*/half.csv"):
                kernel = int(half.read_text("utf-8") or 0)
        for number in numbers:
            run.send_signal(number)
            time.sleep(0.1)
        said = run.communicate(timeout=100)[1]
    finally:
        run.kill()
    left = sorted(path.name for path in folder.iterdir())
    return run.returncode, said.replace("\r", "\n").strip().split("\n")[-1], kernel, left


def alive(process: int) -> bool:
    """Whether a process is still there after a while."""
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def guard_stopped(folder: Path, numbers: list[int], code: str = BARE, fault: str = "") -> None:
    """One line, exit code 130, no kernel, no file."""
    ended, said, kernel, left = stopped(folder, numbers, code, fault)
    told = "helpers.rerun: stopped; nothing was written."
    assert kernel and (ended, said, left) == (130, told, ["course"])
    assert not alive(kernel)


signals = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


@signals
def test_a_re_run_that_is_stopped_leaves_nothing(sleeper):
    """Somebody is impatient: Ctrl-C, and then more of it."""
    guard_stopped(sleeper, [signal.SIGINT, signal.SIGTERM, signal.SIGINT], RERUN)


@signals
def test_other_programs_may_stop_a_command_too(sleeper):
    guard_stopped(sleeper, [signal.SIGTERM])
    fault = "command.STOPS = ()"
    caught(lambda planted: guard_stopped(sleeper, [signal.SIGTERM], fault=planted), fault)


@signals
def test_what_kill_9_leaves_is_free_to_be_cleared(sleeper):
    code, _, kernel, left = stopped(sleeper, [signal.SIGKILL])
    assert code == -9 and len(left) == 2 and not alive(kernel)
    os.utime(sleeper / left[0], (0, 0))
    files.clear_abandoned(sleeper)
    assert [path.name for path in sleeper.iterdir()] == ["course"]
