"""Thin helpers for the course; the statistical ones are first built by hand in a notebook."""

import numbers
import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

Pair = tuple[np.ndarray, np.ndarray]  # such as the lower and the upper ends of many intervals
LARGEST = 1e70  # of a value: fourth powers of it can still be computed
SMALLEST = 1e-70  # of a spread above 0, for the same reason
LONGEST = 1000  # of a message, in characters
# What a terminal or a text obeys instead of showing it: controls, line breaks, turns of direction,
# and what has no width.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def shown(value: object, most: int = 60) -> str:
    """A value from a file or a command line as a message shows it: on one line, and not too long.

    Control characters are spelled as in Python's text; of a long value the middle is left out.
    """
    text = str(value)
    if len(text) > most:
        text = f"{text[: most // 2]}...{text[-most // 2 + 3 :]}"
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class InputError(ValueError):
    """Something the reader typed or supplied cannot be used.

    The message says what, where, and what to type instead. Where it is about one argument, that
    is `knob`, and the message goes on after its name: InputError("is 0; give 1.", knob="worth")
    reads "worth is 0; give 1." Whatever stands in it, it is bounded and safe for a terminal.
    """

    def __init__(self, message: str, knob: str = "") -> None:
        message = "\n".join(shown(line, LONGEST // 2) for line in message.split("\n", 1))
        super().__init__(f"{knob} {message}" if knob else message)
        self.message, self.knob = message, knob

    def named(self, name: str) -> str:
        """The message for somebody who knows the knob by another name, such as --worth."""
        return f"{name} {self.message}" if self.knob else self.message

    def _render_traceback_(self) -> list[str]:  # IPython's hook: a notebook shows the message alone
        return [f"{type(self).__name__}: {self}"]


def is_number(value: Any, whole: bool = False) -> bool:
    """Whether value is a finite number (a whole one if asked for).

    Text, missing values, True and False are none, nor is anything of 1e300 or beyond.
    """
    kinds: tuple = (numbers.Integral,) if whole else (numbers.Integral, float, np.floating)
    if not isinstance(value, kinds) or isinstance(value, bool):
        return False
    return abs((int if isinstance(value, numbers.Integral) else float)(value)) < 1e300


def is_count(value: Any) -> bool:
    """Whether value is a whole number from 0 to 1e15; 20.0 is one too, as tables often hold it."""
    return is_number(value) and 0 <= value <= 1e15 and value == int(value)


def check_share(name: str, value: Any, such_as: float) -> None:
    """Raise InputError unless value is a number between 0 and 1, and not next to either."""
    if not (is_number(value) and 1e-12 < float(value) < 1 - 1e-12):
        raise InputError(
            f"is {value}; it must lie between 0 and 1, such as {such_as}, and not next to them.",
            name,
        )


def check_spread(spread: float, what: str) -> None:
    """Raise InputError for a spread above 0 that is too small to compute with."""
    if 0 < spread < SMALLEST:
        raise InputError(f"The {what} is {spread:g}. Measure in a smaller unit.")


def check_seed(seed: Any) -> None:
    """Raise InputError unless seed is a whole number that NumPy takes, or a Generator."""
    if isinstance(seed, np.random.Generator):
        return
    if not (is_number(seed, whole=True) and 0 <= seed < 2**32):
        raise InputError(
            f"is {seed!r}; give a whole number from 0 to {2**32 - 1}, such as 42.", "seed"
        )


def as_numbers(values: ArrayLike, what: str) -> np.ndarray:
    """The values as an array of floats, of their shape.

    Raises InputError where one is text, blank, masked, infinite, or beyond 1e70.
    """
    array = _as_floats(values, what)
    usable = np.isfinite(array)
    if not usable.all():
        raise InputError(
            f"The {what} has blank or infinite values: {int((~usable).sum())}, the first at "
            f"position {int(np.argmin(usable))}. Mend it."
        )
    if array.size and max(array.max(), -array.min()) > LARGEST:
        raise InputError(f"The {what} has values beyond {LARGEST:g}. Measure in a larger unit.")
    return array


def as_arms(treated: ArrayLike) -> np.ndarray:
    """Arms as True for treatment and False for control, in their shape.

    Raises InputError, naming them, where there are other values than True and False, or 1 and 0.
    """
    arms = unmasked(treated)
    values = pd.unique(pd.Series(arms.ravel())).tolist()
    if not set(values) <= {0, 1}:
        named = ", ".join("blank" if pd.isna(value) else repr(value) for value in values[:6])
        raise InputError(
            f"The arm column has the values {named}; give True (or 1) for treatment and False "
            "(or 0) for control."
        )
    return arms.astype(bool, copy=False)


def unmasked(values: ArrayLike) -> np.ndarray:
    """The values as an array, None where they are masked."""
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    array = values.data.astype(object)
    array[np.ma.getmaskarray(values)] = None
    return array


def _as_floats(values: ArrayLike, what: str) -> np.ndarray:
    """The values as floats, nan where one is blank or masked."""
    try:
        array = unmasked(values)
        if array.dtype.kind == "O":
            if any(isinstance(value, str) for value in array.flat):
                raise TypeError
            array = np.where(pd.isna(array), np.nan, array)
        elif array.dtype.kind not in "biuf":
            raise TypeError
        return array.astype(float, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"The {what} has values that are not numbers. Pass one number per customer."
        ) from None
