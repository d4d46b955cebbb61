"""What every module of helpers leans on: refusals, and checks of numbers, shares and seeds."""

from helpers import InputError


def test_input_error_is_a_value_error_shown_without_traceback():
    error = InputError("Mend row 2.")
    assert isinstance(error, ValueError)
    assert error._render_traceback_() == ["InputError: Mend row 2."]
