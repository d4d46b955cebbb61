"""How every command ends: with its work done, or with a line or two and an exit code."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from helpers import InputError, shown

STOPS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what other programs send


class Parser(argparse.ArgumentParser):
    """argparse with the description as it stands, options typed in full, and short errors."""

    def __init__(self, prog: str, description: str | None, **options: Any) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, **options)
        self.formatter_class = argparse.RawDescriptionHelpFormatter

    def error(self, message: str) -> NoReturn:
        super().error(shown(message, most=300))


class Help(argparse.Action):
    """Print the description, and nothing that argparse makes up."""

    def __call__(self, parser: argparse.ArgumentParser, *_given: object) -> None:
        print(parser.description)
        parser.exit()


def explained(
    called: str,
    description: str,
    usage: str,
    defaults: dict[str, Any],
    kinds: dict[str, Any],
    several: Container[str] = (),
) -> Parser:
    """A parser whose options have defaults, and are explained by the description.

    kinds: what makes a value of the text, by option (else it is a name). several: options that may
    be given several times.
    """
    parser = Parser(f"python -m {called}", description, usage=usage, add_help=False)
    parser.add_argument("-h", "--help", action=Help, nargs=0, default=argparse.SUPPRESS)
    for knob, default in defaults.items():
        options: dict[str, Any] = {"dest": knob, "default": argparse.SUPPRESS}
        if default is False:
            options["action"] = "store_true"
        else:
            options["type"] = kinds.get(knob, name)
        if knob in several:
            options["action"] = "append"
        parser.add_argument(option(knob), **options)
    return parser


def name(text: str) -> str:
    """The name of a column or an arm. For argparse."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: give a name")
    return text


def numbers(text: str) -> tuple[float, ...]:
    """Numbers as they are typed, with commas between them. For argparse."""
    return tuple(float(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Names of columns as they are typed, with commas between them. For argparse."""
    return tuple(dict.fromkeys(name(part).strip() for part in text.split(",")))


def run(
    name: str,
    work: Callable[[], int],
    options: Container[str] = ("out",),
    when_stopped: str = "nothing was written",
) -> int:
    """The exit code of a command.

    That of its work; with a message on stderr, 2 for bad input and 130 after Ctrl-C or SIGTERM.
    options: the knobs that can be typed; an error that is about one of them names it so.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        with stopped_once():
            here()
            code = work()
            if sys.stdout:  # it may be closed
                sys.stdout.flush()
            return code
    except InputError as error:
        typed = option(error.knob) if error.knob in options else error.knob
        print(f"{name}: {error.named(typed)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped; {when_stopped}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads what is printed, such as head, has seen enough
        print_no_more()
        return 128 + 13  # as for other programs
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"{name}: {error.strerror}. Make room, and call again.", file=sys.stderr)
        print_no_more()
        return 2


def here() -> Path:
    """The folder one is in. Raises InputError where it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise InputError("The folder you are in is gone. Change to another.") from None


def print_no_more() -> None:
    """What is left to print goes nowhere, where Python would fail with it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def option(knob: str) -> str:
    """A knob as it is typed on the command line."""
    return "--" + knob.removesuffix("_file").replace("_", "-")


@contextmanager
def stopped_once() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise KeyboardInterrupt; a second disturbs no tidying up."""
    before = {number: signal.getsignal(number) for number in STOPS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as a shell sets it for what runs in the background
            signal.signal(number, stop)
    stopped = False
    try:
        yield
    except KeyboardInterrupt:
        stopped = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        raise
    finally:
        if not stopped:  # else the process is about to end, and may do so in peace
            for number, handler in before.items():
                signal.signal(number, handler)


def stop(_number: int, _frame: FrameType | None) -> None:
    """What the first signal does."""
    undisturbed()
    raise KeyboardInterrupt


def undisturbed() -> None:
    """From here to its end the command cannot be stopped: it is tidying up, or placing files."""
    for number in STOPS:
        if signal.getsignal(number) is stop:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def unheard() -> Iterator[None]:
    """Processes started in here leave Ctrl-C to this one, which hears it at the end."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
