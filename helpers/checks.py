"""What notebooks import to ask and to answer back: the subjects are exercises and predictions."""

from helpers.exercises import check, hint, judge
from helpers.predictions import decide, predict, predictions, reveal

__all__ = ["check", "decide", "hint", "judge", "predict", "predictions", "reveal"]
