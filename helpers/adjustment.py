"""Compare two arms after adjusting for what was known before treatment.

Regression adjustment is CUPED's big sister.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import linalg, stats
from sklearn.preprocessing import StandardScaler
from statsmodels.regression.linear_model import OLS

from helpers import InputError, as_arms, as_numbers, check_share, check_spread
from helpers.comparison import Arm, Comparison, described, tested
from helpers.inference import by_rows, checked_runs


def compare_adjusted(
    outcome: ArrayLike,
    treated: ArrayLike,
    baseline: ArrayLike,
    confidence: float = 0.95,
    interacted: bool = False,
) -> Comparison:
    """Treatment against control by least squares, outcome ~ treated + baseline, with HC2 errors.

    outcome, treated (True or 1 for treatment): n values; baseline: n values or n x k, known before
    treatment. interacted lets each arm have its own slope (Lin 2013). Means in the result are
    those at the mean baseline of these customers (the relative interval takes it as known), sds
    what the baseline leaves unexplained; p-value and interval use t with the residual degrees of
    freedom.
    Sources: HC2 as MacKinnon and White (1985), relative interval Fieller (1954).
    Raises InputError for values that are not finite numbers, an arm column without just two
    values, a baseline that does not vary inside the arms or explains the outcome completely, and
    too few customers for the number of slopes.
    """
    check_share("confidence", confidence, 0.95)
    outcome, treated, baseline = _checked(outcome, treated, baseline)
    level = float(outcome.mean())
    slopes = StandardScaler().fit_transform(baseline)  # its unit must not decide what is computed
    if interacted:
        slopes = np.column_stack([slopes, slopes * treated[:, None]])
    design = np.column_stack([np.ones(len(outcome)), treated, slopes])
    _check_design(design)

    fit = OLS(outcome - level, design).fit(cov_type="HC2", use_t=True)
    (mean_control, lift), cov = fit.params[:2], fit.cov_params()[:2, :2]
    if cov[1, 1] <= 1e-18 * np.var(outcome):
        raise InputError("The baseline explains the outcome completely: there is no luck to test.")
    means = (level + float(mean_control), level + float(mean_control + lift))
    variances = (float(cov[0, 0]), float(cov[0, 0] + cov[1, 1] + 2 * cov[0, 1]))
    shared = float(cov[0, 0] + cov[0, 1])
    control, treatment = (
        Arm(int(arm.sum()), mean, float(fit.resid[arm].std(ddof=1)))
        for arm, mean in zip((~treated, treated), means, strict=True)
    )
    found = tested(means, variances, fit.df_resid, confidence, shared)
    return described(control, treatment, found)


def known_columns(baseline: pd.Series, strata: pd.Series | None = None) -> np.ndarray:
    """What to adjust by: all strata but one, as columns of 0 and 1, and a baseline that says more.

    baseline, strata: of n customers. Returns n x k floats; k is 0 where nothing varies. Strata of
    fewer than four customers are taken together, or with the first, so that nobody decides one
    alone.
    """
    before = baseline.to_numpy(dtype=float)
    codes = np.zeros(len(before), dtype=int)
    if strata is not None:
        codes = pd.factorize(strata, sort=True)[0]
        few = np.bincount(codes)[codes] < 4
        codes[few] = -1 if few.sum() >= 4 else codes[~few].min(initial=0)
        codes = pd.factorize(codes, sort=True)[0]
    columns = np.eye(codes.max(initial=0) + 1)[codes][:, 1:]
    inside = before - np.bincount(codes, before)[codes] / np.bincount(codes)[codes]
    if np.square(inside).sum() > 1e-12 * np.square(before - before.mean()).sum():
        columns = np.column_stack([columns, before])
    return columns


def adjust_many(
    outcome: ArrayLike, treated: ArrayLike, baseline: ArrayLike, confidence: float = 0.95
) -> pd.DataFrame:
    """`compare_adjusted` (without interaction) on every row of `outcome` and `treated` at once.

    outcome, treated: runs x customers; baseline: the same for every run, one value a customer or
    n x k; columns that add nothing are left out. Returns one row per run: lift, se, p_value,
    ci_low, ci_high, all nan where the arms cannot be compared.
    Source: the partialled-out regression of Frisch and Waugh (1933) and Lovell (1963), with HC2
    errors.
    Raises InputError as `inference.checked_runs` does, for a baseline with blanks or of another
    length, and for a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    outcome, arms = checked_runs(outcome, treated)
    customers = outcome.shape[1]
    scaled = StandardScaler().fit_transform(_baseline_of(customers, baseline))
    basis = linalg.orth(np.column_stack([np.ones(customers), scaled]), rcond=1e-10)
    return by_rows(lambda y, t: _adjusted_rows(y, t, basis, confidence), outcome, arms)


def _adjusted_rows(
    outcome: np.ndarray, arms: np.ndarray, basis: np.ndarray, confidence: float
) -> pd.DataFrame:
    """`adjust_many` on checked runs; basis: orthonormal, of a constant and the baseline."""
    left_t, left_y = _unexplained(arms.astype(float), basis), _unexplained(outcome, basis)
    df = outcome.shape[1] - basis.shape[1] - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.square(left_t).sum(axis=1)
        total[total < 1e-9] = np.nan
        lift = (left_t * left_y).sum(axis=1) / total
        residual = left_y - lift[:, None] * left_t
        leverage = np.square(basis).sum(axis=1) + np.square(left_t) / total[:, None]
        room = np.where(leverage < 1 - 1e-9, 1 - leverage, np.nan)
        se = np.sqrt((np.square(left_t * residual) / room).sum(axis=1)) / total
        half = stats.t.ppf((1 + confidence) / 2, df) * se
        p_value = 2 * stats.t.sf(np.abs(lift) / se, df)
    found = {"lift": lift, "se": se, "p_value": p_value}
    table = pd.DataFrame(found | {"ci_low": lift - half, "ci_high": lift + half})
    table[~np.isfinite(se)] = np.nan
    return table


def _baseline_of(customers: int, baseline: ArrayLike) -> np.ndarray:
    """The baseline as customers x k, or InputError."""
    found = as_numbers(baseline, "baseline")
    if found.ndim not in (1, 2) or len(found) != customers:
        raise InputError(
            f"The baseline has the shape {found.shape}; give a row for each of {customers} "
            "customers."
        )
    return found.reshape(customers, -1)


def _unexplained(rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What an orthonormal basis (customers x k) leaves of each row."""
    return rows - (rows @ basis) @ basis.T


def _checked(
    outcome: ArrayLike, treated: ArrayLike, baseline: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome (n), arms (n, as True and False) and baseline (n x k), or InputError."""
    outcome, baseline = as_numbers(outcome, "outcome"), as_numbers(baseline, "baseline")
    arms = as_arms(treated)
    sizes = [len(np.atleast_1d(values)) for values in (outcome, arms, baseline)]
    one_row_each = len(set(sizes)) == 1 and outcome.ndim == arms.ndim == 1 and baseline.ndim < 3
    if not (one_row_each and baseline.size):
        raise InputError(
            f"Outcome, arms and baseline have {sizes} rows; give one row for each customer."
        )
    check_spread(np.ptp(outcome), "range of the outcome")
    if np.ptp(outcome) == 0:
        raise InputError("The outcome does not vary, so there is no luck to test against.")
    if arms.all() or not arms.any():
        raise InputError(
            f"The arm column has the values {bool(arms[0])}; give True (or 1) for treatment and "
            "False (or 0) for control, both of them."
        )
    return outcome, arms, baseline.reshape(len(outcome), -1)


def _check_design(design: np.ndarray) -> None:
    n, k = design.shape
    if n <= k or np.linalg.matrix_rank(design) < k:
        raise InputError(
            f"{n} customers and {k} coefficients cannot be told apart: some arm is too small, or "
            "its baseline does not vary.\nUse more customers, or compare the plain means."
        )
    if (np.linalg.norm(np.linalg.qr(design)[0], axis=1) > 1 - 1e-9).any():
        raise InputError(
            "A single customer decides a coefficient alone. Use more customers, or the plain means."
        )
