"""What keeps an interval from being read: what new coins show of it, and users who are too few."""

import pandas as pd
from scipy import stats

from helpers import words

FEWEST = 10  # in an arm, of values that are not the usual one, such as buyers


def causes(outcome: pd.Series, n_control: int, n_treatment: int) -> list[str]:
    """What may keep an interval from its promise: heavy tail, unequal arms, few users ..."""
    smaller, rate = min(n_control, n_treatment), bool(outcome.isin([0, 1]).all())
    seen = {
        "few conversions": rate and smaller * min(outcome.mean(), 1 - outcome.mean()) < 10,
        "heavy tail": not rate and stats.kurtosis(outcome) > 10,
        "unequal arms": smaller < 0.4 * len(outcome),
        "few users": smaller < 50,
    }
    return [cause for cause, applies in seen.items() if applies]


def doubts(
    luck: pd.DataFrame,
    p_value: pd.Series,
    level: float,
    total: float = 0.05,
    worse: pd.DataFrame | None = None,
) -> list[str]:
    """Why an interval of this level should not be read, or "": one for each column of luck.

    luck: p-values of experiments without effect, runs x segments; p_value: those of the log; worse:
    where in luck the treatment looks worse, if the two ends are to be tested each for itself.
    Either new coins lead it, or one of its ends, or any of them together, to the wrong side of zero
    clearly more than twice as often as promised, or cannot be tested in most runs; or, where it
    leaves out zero, they make one of the readable segments look as clear in more than `total` of
    the runs, beyond what counting so few explains; `total` is promised for all together (Westfall
    and Young 1993).
    All this supposes a treatment that does nothing to anybody; one that changes the shape of the
    outcome, and not its mean, can still mislead small arms.
    """
    sides = pd.DataFrame(columns=luck.columns, index=luck.index) if worse is None else worse
    found = [_broken_promise(luck[name], sides[name], level) for name in luck]
    readable = luck.loc[:, [not doubt for doubt in found]]
    together = (readable < level).any(axis=1)
    if _too_often(together, total):
        said = f"without effect {words.percent(together.mean())} of new coins make some interval "
        said += f"leave out zero, promised {words.percent(total)}"
        return [doubt or said for doubt in found]
    for place, p in enumerate(p_value):
        if found[place] == "" and p < level:
            smallest = readable[luck.iloc[:, place].notna()].min(axis=1)
            as_clear = int((smallest <= p).sum())
            if stats.binom.sf(as_clear - 1, len(smallest), total) < 0.2:
                share = words.percent(as_clear / len(smallest))
                found[place] = f"new coins show as much in {share} of experiments"
    return found


def few_that_differ(outcome: pd.Series, treated: pd.Series) -> str:
    """Where most users have one value, such as 0, and few in an arm have another: a doubt.

    The spread of such an arm is a guess, mostly too low, and 0 if nobody differs. (Rates have an
    interval of their own that knows this, and need not be asked.)
    """
    usual = outcome.mode().iloc[0]
    differ = outcome != usual
    fewest = int(min(differ[treated].sum(), differ[~treated].sum()))
    if differ.mean() >= 0.5 or fewest >= FEWEST:
        return ""
    return f"an arm has {words.count(fewest, 'user')} with another value than {usual:g}"


def _broken_promise(luck: pd.Series, worse: pd.Series, level: float) -> str:
    """What is wrong with an interval, if anything is; worse: blank where no end is asked for."""
    tested = luck.dropna()
    if len(tested) < len(luck) / 2:
        return "new coins seldom leave enough to test"
    if _too_often(tested < level, level):
        share, promised = words.percent((tested < level).mean()), words.percent(level)
        return f"without effect it leaves out zero in {share} of new coins, promised {promised}"
    for looks_worse, where in ((True, "below"), (False, "above")):
        out = (tested < level) & (worse[tested.index] == looks_worse)
        if _too_often(out, level / 2):
            share, promised = words.percent(out.mean()), words.percent(level / 2)
            return f"without effect {share} of new coins put it {where} zero, promised {promised}"
    return ""


def _too_often(alarms: pd.Series, level: float) -> bool:
    """Whether they come more than twice as often as promised, beyond what counting explains."""
    return bool(stats.binom.sf(alarms.sum() - 1, len(alarms), 2 * level) < 0.01)
