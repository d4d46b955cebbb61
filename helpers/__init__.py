"""Thin helpers for the course; each was first built by hand in one of the notebooks."""

import numbers


class InputError(ValueError):
    """Something the reader typed or supplied cannot be used; the message says what, where, and what to type instead."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook: in a notebook the message alone is shown
        return [f"{type(self).__name__}: {self}"]


def is_number(value: object, whole: bool = False) -> bool:
    """Whether value is a finite number (a whole one if asked for): no text, no missing value, no True or False."""
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return abs(value) < 1e300  # false for inf and nan, and for whole numbers too large to be a float


def check_seed(seed: object) -> None:
    """Raise InputError unless seed is a whole number that NumPy takes."""
    if not (is_number(seed, whole=True) and 0 <= seed < 2**32):
        raise InputError(f"seed is {seed!r}; give a whole number from 0 to {2**32 - 1}, such as 42.")
