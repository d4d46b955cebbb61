"""Thin helpers for the course; each was first built by hand in one of the notebooks."""

import numbers

import numpy as np
from numpy.typing import ArrayLike

Pair = tuple[np.ndarray, np.ndarray]  # such as the lower and the upper ends of many intervals


class InputError(ValueError):
    """Something the reader typed or supplied cannot be used.

    The message says what, where, and what to type instead. Where it is about one argument, that
    is `knob`, and the message goes on after its name: InputError("is 0; give 1.", knob="worth")
    reads "worth is 0; give 1."
    """

    def __init__(self, message: str, knob: str = "") -> None:
        super().__init__(f"{knob} {message}" if knob else message)
        self.message, self.knob = message, knob

    def named(self, name: str) -> str:
        """The message for somebody who knows the knob by another name, such as --worth."""
        return f"{name} {self.message}" if self.knob else self.message

    def _render_traceback_(self) -> list[str]:  # IPython's hook: a notebook shows the message alone
        return [f"{type(self).__name__}: {self}"]


def is_number(value: object, whole: bool = False) -> bool:
    """Whether value is a finite number (a whole one if asked for): no text, no missing value, no True or False."""
    kind = numbers.Integral if whole else numbers.Real
    ordinary = isinstance(value, kind) and not isinstance(value, bool)
    return ordinary and bool(
        abs(value) < 1e300
    )  # no inf, no nan, no whole number too large to be a float


def check_share(name: str, value: object, such_as: float) -> None:
    """Raise InputError unless value is a number between 0 and 1, both excluded."""
    if not (is_number(value) and 0 < value < 1):
        raise InputError(f"is {value}; it must lie between 0 and 1, such as {such_as}.", name)


def as_numbers(values: ArrayLike, what: str) -> np.ndarray:
    """The values as an array of floats, or InputError where one is text, blank or infinite."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO" or (
            array.dtype.kind == "O" and any(isinstance(x, str) for x in array.flat)
        ):
            raise TypeError
        array = array.astype(float)
    except (TypeError, ValueError):
        raise InputError(
            f"The {what} has values that are not numbers. Pass one number per customer."
        ) from None
    if bad := int((~np.isfinite(array)).sum()):
        where = int(np.argmin(np.isfinite(array)))
        raise InputError(
            f"The {what} has blank or infinite values: {bad}, the first at position {where}. Mend it."
        )
    return array


def check_seed(seed: object) -> None:
    """Raise InputError unless seed is a whole number that NumPy takes, or a Generator."""
    if not isinstance(seed, np.random.Generator) and not (
        is_number(seed, whole=True) and 0 <= seed < 2**32
    ):
        raise InputError(
            f"is {seed!r}; give a whole number from 0 to {2**32 - 1}, such as 42.", "seed"
        )
