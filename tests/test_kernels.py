"""The suite's forked kernels are like started ones: own luck, folder and environment."""

import os
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

from tests import kernels

pytestmark = pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" not in os.environ or "forkserver" not in get_all_start_methods(),
    reason="kernels are forked by workers of the suite, where the system can fork",
)
WHERE = "import os, random, sys, numpy\nprint(os.getcwd(), 'helpers.plots' in sys.modules)"
LUCK = "\nprint(random.random(), numpy.random.random())"


def said(folder: Path, code: str) -> list[str]:
    """What a kernel prints, and whether it has ended afterwards."""
    manager, client = start_new_kernel(cwd=str(folder))
    printed = []
    try:
        client.execute_interactive(
            code, output_hook=lambda message: printed.append(message["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert not manager.is_alive()
    return "".join(printed).split()


def test_a_forked_kernel_is_where_it_should_be_and_draws_anew(tmp_path):
    first, second = (said(tmp_path, WHERE + LUCK) for _ in range(2))
    assert first[:2] == second[:2] == [str(tmp_path), "True"]  # and it was a fork
    assert not set(first[2:]) & set(second[2:])


def test_a_kernel_for_other_helpers_is_a_started_one(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "COMMAND", ["-m", "another_kernel"])
    assert said(tmp_path, WHERE) == [str(tmp_path), "False"]


def drawn(path: str) -> None:
    Path(path).write_text(f"{np.random.random()}", encoding="utf-8")


def anew(path: str) -> None:
    kernels.as_started(str(Path(path).parent), dict(os.environ))
    drawn(path)


def guard_luck(target, folder: Path) -> None:
    """Two forks draw different numbers: else nbval would not see a notebook without a seed."""
    paths = [folder / name for name in "ab"]
    processes = [get_context("forkserver").Process(target=target, args=[str(p)]) for p in paths]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    one, other = (path.read_text("utf-8") for path in paths)
    assert one != other


def test_forks_do_not_share_their_luck(tmp_path):
    guard_luck(anew, tmp_path)
    with pytest.raises(AssertionError):
        guard_luck(drawn, tmp_path)
