"""Kernels for the suite that need not import the libraries anew: half of nbval's time went there.

A server process, one for each worker of the suite, imports them once; each kernel is a fork of it,
with its own folder, environment and random state. Commands that run as a process of their own start
theirs as ever, and so does `pytest -n 0`.
"""

import os
import random
from importlib.metadata import EntryPoint
from multiprocessing import get_all_start_methods, get_context
from typing import Any

import numpy as np
import pandas as pd
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from tools import notebooks

LIBRARIES = [
    "ipykernel.kernelapp",
    "matplotlib_inline.backend_inline",
    "seaborn",
    "sklearn.metrics",
    "statsmodels.api",
    "statsmodels.formula.api",
    "helpers.adjustment",
    "helpers.checks",
    "helpers.plots",
    "helpers.segments",
]
COMMAND = ["-m", "ipykernel_launcher"]
OWN = os.environ.get("PYTHONPATH", "")
HELPERS_ARE_OURS = (OWN, os.pathsep.join(filter(None, [str(notebooks.ROOT), OWN])))


def as_started(folder: str, env: dict[str, str]) -> None:
    """Make a fork what a started process is: nothing of the server's place, knobs and luck."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    random.seed()
    np.random.seed()


def be_a_kernel(folder: str, env: dict[str, str], arguments: list[str]) -> None:
    from ipykernel.kernelapp import launch_new_instance

    as_started(folder, env)
    pd.set_option("display.max_columns", 20)  # as where a kernel imports pandas; here it was none
    launch_new_instance(argv=arguments)


class Process:
    """A process of multiprocessing, with the words of subprocess.Popen that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, *given: Any) -> None:
        self.process = get_context("forkserver").Process(target=be_a_kernel, args=given)
        self.process.start()
        self.pid = self.process.pid
        self.kill, self.terminate = self.process.kill, self.process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Forked(LocalProvisioner):
    """Forks where a plain kernel is asked for, in a folder and with the helpers of this course."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        env, folder = kwargs.get("env", {}), kwargs.get("cwd")
        ours = env.get("PYTHONPATH", "") in HELPERS_ARE_OURS
        if not (ours and folder and cmd[1:3] == COMMAND):
            return await super().launch_kernel(cmd, **kwargs)
        self.process = Process(str(folder), env, cmd[3:])
        self.pid = self.process.pid
        return self.connection_info


def use() -> None:
    """Let kernels that this process starts be such ones, where it is one of several workers."""
    if "PYTEST_XDIST_WORKER" not in os.environ or "forkserver" not in get_all_start_methods():
        return
    get_context("forkserver").set_forkserver_preload(LIBRARIES)
    factory = KernelProvisionerFactory.instance()
    group = KernelProvisionerFactory.GROUP_NAME
    factory.provisioners["forked"] = EntryPoint("forked", f"{__name__}:Forked", group)
    factory.default_provisioner_name = "forked"
