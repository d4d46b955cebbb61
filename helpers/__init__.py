"""Thin helpers for the course; each was first built by hand in one of the notebooks."""


class InputError(ValueError):
    """Something the reader typed or supplied cannot be used; the message says what, where, and what to type instead."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook: in a notebook the message alone is shown
        return [f"{type(self).__name__}: {self}"]
