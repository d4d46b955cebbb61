"""What every module of helpers leans on: refusals, and checks of numbers, shares and seeds."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from helpers import (
    InputError,
    as_arms,
    as_numbers,
    check_seed,
    check_share,
    check_spread,
    is_count,
    is_number,
    unmasked,
)
from tests.guards import caught, guard_message

# Refusals


def test_input_error_is_a_value_error_shown_without_traceback():
    error = InputError("Mend row 2.")
    assert isinstance(error, ValueError)
    assert error._render_traceback_() == ["InputError: Mend row 2."]


def guard_knob(error_of):
    """The knob stands in front of its message, under whatever name the reader knows it."""
    error = error_of("is 0; give 1.", "worth")
    assert str(error) == "worth is 0; give 1."
    assert (error.knob, error.message) == ("worth", "is 0; give 1.")
    assert error.named("--worth") == "--worth is 0; give 1."
    about_no_knob = error_of("Mend row 2.")
    assert str(about_no_knob) == about_no_knob.message == "Mend row 2."
    assert about_no_knob.knob == ""
    assert about_no_knob.named("--worth") == "Mend row 2."


class NamesEverything(InputError):
    """Puts the name also before a message that is about no knob."""

    def named(self, name):
        return f"{name} {self.message}"


class ForgetsTheKnob(InputError):
    def __init__(self, message, knob=""):
        super().__init__(message)


def test_a_refusal_goes_by_the_name_that_the_reader_typed():
    guard_knob(InputError)
    caught(guard_knob, NamesEverything)
    caught(guard_knob, ForgetsTheKnob)


# Numbers

NUMBERS = [0, -3, 2.5, 1e299, np.int64(3), np.float32(2.5), 10**299]
NO_NUMBERS = [
    None,
    "3",
    "",
    True,
    False,
    np.True_,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    3j,
    [3],
    Fraction(1, 3),
]


def guard_number(is_number):
    """Finite and real; no text, no missing value, no truth value, none too large to be a float."""
    with np.errstate(all="raise"):  # a small float compared with 1e300 would warn
        for value in NUMBERS:
            assert is_number(value), value
    for value in NO_NUMBERS:
        assert not is_number(value), value
    for value in (0, -3, np.int64(3)):
        assert is_number(value, whole=True), value
    for value in (2.5, 3.0, np.float64(3), Fraction(6, 2), True, "3", 10**400):
        assert not is_number(value, whole=True), value


def takes_what_float_takes(value, whole=False):
    try:
        return math.isfinite(float(value)) and (not whole or float(value).is_integer())
    except (TypeError, ValueError, OverflowError):
        return False


def takes_true_and_false(value, whole=False):
    return isinstance(value, bool) or is_number(value, whole)


def takes_three_point_nought(value, whole=False):
    return is_number(value) and (not whole or value == int(value))


def test_a_number_is_finite_and_no_truth_value():
    guard_number(is_number)
    for faulty in (takes_what_float_takes, takes_true_and_false, takes_three_point_nought):
        caught(guard_number, faulty)


def guard_count(is_count):
    """Whole and not negative, however a table holds it."""
    for value in (0, 20, 20.0, np.int64(3), np.float64(20), np.uint8(200)):
        assert is_count(value), value
    for value in (-1, 2.5, True, "3", None, math.nan, math.inf):
        assert not is_count(value), value


def test_a_count_may_be_written_as_a_float():
    guard_count(is_count)
    caught(guard_count, lambda value: is_number(value, whole=True) and value >= 0)
    caught(guard_count, lambda value: is_number(value) and value >= 0)


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])


def guard_arms(as_arms):
    """True and False, or 1 and 0; three arms never become two."""
    for arms in ([True, False], [1, 0], [1.0, 0.0], np.array([1, 0], dtype="int8")):
        assert as_arms(arms).tolist() == [True, False]
    for arms in ([0, 1, 2], [-1, 1], ["a", "b"], [1, None], np.ma.array([1, 0], mask=[0, 1])):
        guard_message(lambda a=arms: as_arms(a), "arm column has the values", "for control")


def test_arms_are_two():
    guard_arms(as_arms)
    with pytest.raises(pytest.fail.Exception):
        guard_arms(lambda treated: np.asarray(treated).astype(bool))


def guard_masked(as_numbers):
    """What is masked is blank, and blanks are refused; a mask that hides nothing is no fault."""
    for values in (MASKED, MASKED.astype(int), MASKED.astype(object), np.ma.masked_all(3)):
        guard_message(lambda v=values: as_numbers(v, "arm"), "blank or infinite values: ", "first")
    assert as_numbers(np.ma.array([1, 2]), "arm").tolist() == [1, 2]


def test_a_mask_is_not_ignored():
    guard_masked(as_numbers)
    with pytest.raises(pytest.fail.Exception):  # nothing is refused
        guard_masked(lambda values, what: np.asarray(values))
    assert unmasked(MASKED).tolist() == [1, None, 3]


def guard_numbers(as_numbers):
    """Floats in the shape that was given; the table of the caller stays as it is."""
    whole = np.array([[1, 2], [3, 4]])
    for values in (whole, whole.tolist(), whole.astype(object), whole.astype("float32")):
        found = as_numbers(values, "arm")
        assert found.dtype == float
        assert found.tolist() == [[1, 2], [3, 4]]
    found = as_numbers(whole, "arm")
    found[0, 0] = 9
    assert whole[0, 0] == 1
    assert as_numbers([True, False], "arm").tolist() == [1, 0]
    assert as_numbers([], "arm").size == 0


def test_numbers_become_floats():
    guard_numbers(as_numbers)
    caught(guard_numbers, lambda values, what: np.asarray(values))
    caught(guard_numbers, lambda values, what: np.ravel(values).astype(float))


# Calls that are refused

IN_SHARE = "it must lie between 0 and 1, such as 0.5, and not next to them"
IN_SEED = "give a whole number from 0 to 4294967295, such as 42"
NOT_NUMBERS = ("The arm has values that are not numbers", "one number per customer")


def numbers(values):
    return lambda: as_numbers(values, "arm")


def checked_share(value):
    return lambda: check_share("alpha", value, 0.5)


def checked_seed(value):
    return lambda: check_seed(value)


BAD_CALLS = {
    "numbers: blank among whole numbers": (
        numbers(pd.array([1, None, 3], dtype="Int64")),
        "blank or infinite values: 1",
        "position 1",
    ),
    "numbers: rows of two lengths": (numbers([[1], [2, 3]]), *NOT_NUMBERS),
    "numbers: too large": (numbers([1, -1e100]), "beyond 1e+70", "larger unit"),
    "spread: too small": (lambda: check_spread(1e-90, "sd"), "The sd is 1e-90", "smaller unit"),
    "numbers: text": (numbers(["a", "b"]), *NOT_NUMBERS),
    "numbers: digits as text": (numbers(["1", "2"]), *NOT_NUMBERS),
    "numbers: one text among objects": (numbers(np.array([1, "2"], dtype=object)), *NOT_NUMBERS),
    "numbers: dates": (numbers(np.array(["2000-01-01"], dtype="datetime64[D]")), *NOT_NUMBERS),
    "numbers: complex": (numbers([1j]), *NOT_NUMBERS),
    "numbers: ragged": (numbers([[1, 2], [3]]), *NOT_NUMBERS),
    "numbers: nan": (numbers([1, math.nan]), "The arm has blank or infinite values: 1, the first"),
    "numbers: several": (numbers([1, math.inf, None]), "values: 2, the first at position 1"),
    "share: 0": (checked_share(0), "alpha is 0; ", IN_SHARE),
    "share: 1": (checked_share(1.0), "alpha is 1.0; ", IN_SHARE),
    "share: per cent": (checked_share(95), "alpha is 95; ", IN_SHARE),
    "share: nan": (checked_share(math.nan), "alpha is nan; ", IN_SHARE),
    "share: text": (checked_share("0.5"), "alpha is 0.5; ", IN_SHARE),
    "share: true": (checked_share(True), "alpha is True; ", IN_SHARE),
    "seed: negative": (checked_seed(-1), "seed is -1; ", IN_SEED),
    "seed: too large": (checked_seed(2**32), "seed is 4294967296; ", IN_SEED),
    "seed: half": (checked_seed(2.5), "seed is 2.5; ", IN_SEED),
    "seed: text": (checked_seed("42"), "seed is '42'; ", IN_SEED),
    "seed: true": (checked_seed(True), "seed is True; ", IN_SEED),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


@pytest.mark.parametrize(
    ("call", "knob"),
    [(checked_share(0), "alpha"), (checked_seed(-1), "seed")],
    ids=["share", "seed"],
)
def test_the_refusal_carries_its_knob(call, knob):
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.knob == knob


def test_good_shares_and_seeds_pass():
    for share in (1e-9, 0.5, 1 - 1e-9, np.float64(0.95)):
        check_share("alpha", share, 0.5)
    for seed in (0, 42, 2**32 - 1, np.int64(7), np.random.default_rng(1)):
        check_seed(seed)
