"""Compare two arms after adjusting for what was known before treatment: regression adjustment (CUPED's big sister)."""

import numpy as np
import statsmodels.api as sm
from numpy.typing import ArrayLike
from pandas import DataFrame
from scipy import linalg, stats
from sklearn.preprocessing import StandardScaler

from helpers import InputError, as_numbers, check_share
from helpers.inference import Comparison, comparison


def compare_adjusted(
    outcome: ArrayLike,
    treated: ArrayLike,
    baseline: ArrayLike,
    confidence: float = 0.95,
    interacted: bool = False,
) -> Comparison:
    """Treatment against control by least squares: outcome ~ treated + baseline, with HC2 standard errors.

    outcome, treated (True for treatment): n values; baseline: n values or n x k, known before treatment. interacted
    lets each arm have its own slope (Lin 2013). Means in the result are those at the mean baseline of these customers
    (the relative interval takes it as known), sds what the baseline leaves unexplained; p-value and interval use t
    with the residual degrees of freedom.
    Sources: HC2 as MacKinnon and White (1985), relative interval Fieller (1954).
    Raises InputError for values that are not finite numbers, a baseline that does not vary inside the arms or explains
    the outcome completely, and too few customers for the number of slopes.
    """
    check_share("confidence", confidence, 0.95)
    outcome, treated = (
        as_numbers(outcome, "outcome"),
        as_numbers(treated, "arm column").astype(bool),
    )
    baseline = as_numbers(baseline, "baseline")
    sizes = [len(np.atleast_1d(values)) for values in (outcome, treated, baseline)]
    if len({*sizes}) > 1 or outcome.ndim != 1 or baseline.ndim > 2 or not len(outcome):
        raise InputError(
            f"Outcome, arms and baseline have {sizes} rows; give one row for each customer."
        )
    baseline = baseline.reshape(len(outcome), -1)
    centred = baseline - baseline.mean(axis=0)
    slopes = np.column_stack([centred, centred * treated[:, None]]) if interacted else centred
    design = np.column_stack([np.ones(len(outcome)), treated, slopes])
    _check_design(design)
    fit = sm.OLS(outcome, design).fit(cov_type="HC2", use_t=True)
    (mean_c, lift), cov = fit.params[:2], fit.cov_params()[:2, :2]
    if cov[1, 1] <= 1e-18 * np.var(outcome):
        raise InputError(
            "The baseline explains the outcome completely, so there is no luck to test against."
        )
    sizes, sds = zip(
        *((int(arm.sum()), fit.resid[arm].std(ddof=1)) for arm in (~treated, treated)), strict=True
    )
    variances = cov[0, 0], cov[0, 0] + cov[1, 1] + 2 * cov[0, 1]
    means, shared = (mean_c, mean_c + lift), float(cov[0, 0] + cov[0, 1])
    return comparison(sizes, means, sds, variances, fit.df_resid, confidence, shared)


def adjust_many(
    outcome: np.ndarray, treated: np.ndarray, baseline: ArrayLike, confidence: float = 0.95
) -> DataFrame:
    """`compare_adjusted` (without interaction) on every row of `outcome` and `treated` (runs x customers) at once.

    baseline: the same for every run, one value a customer or n x k; columns that add nothing are left out. Returns
    one row per run: lift, se, p_value, ci_low, ci_high, all nan where the arms cannot be compared.
    Source: the partialled-out regression of Frisch and Waugh (1933) and Lovell (1963), with HC2 errors.
    """
    check_share("confidence", confidence, 0.95)
    scaled = StandardScaler().fit_transform(
        np.asarray(baseline, dtype=float).reshape(outcome.shape[1], -1)
    )
    basis = linalg.orth(np.column_stack([np.ones(len(scaled)), scaled]), rcond=1e-10)
    left_t, left_y = (a - (a @ basis) @ basis.T for a in (treated.astype(float), outcome))
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.square(left_t).sum(axis=1)
        total[total < 1e-9] = np.nan
        lift = (left_t * left_y).sum(axis=1) / total
        residual = left_y - lift[:, None] * left_t
        leverage = np.square(basis).sum(axis=1) + np.square(left_t) / total[:, None]
        spread = np.square(left_t * residual) / np.where(leverage < 1 - 1e-9, 1 - leverage, np.nan)
        se = np.sqrt(spread.sum(axis=1)) / total
        df = outcome.shape[1] - basis.shape[1] - 1
        half = stats.t.ppf((1 + confidence) / 2, df) * se
        p_value = 2 * stats.t.sf(np.abs(lift) / se, df)
    columns = {
        "lift": lift,
        "se": se,
        "p_value": p_value,
        "ci_low": lift - half,
        "ci_high": lift + half,
    }
    return DataFrame(
        {name: np.where(np.isfinite(se), values, np.nan) for name, values in columns.items()}
    )


def _check_design(design: np.ndarray) -> None:
    n, k = design.shape
    if n <= k or np.linalg.matrix_rank(design) < k:
        why = "some arm is too small, or its baseline does not vary.\nUse more customers, or compare the plain means"
        raise InputError(f"{n} customers and {k} coefficients cannot be told apart: {why}.")
    if (np.linalg.norm(np.linalg.qr(design)[0], axis=1) > 1 - 1e-9).any():
        raise InputError(
            "A single customer decides a coefficient alone. Use more customers, or the plain means."
        )
