"""How much one column, by itself, says about a target: a model of one column, judged on rows it was not fitted on.

The column is cut into bins (a value each, or quantiles; missing values are a bin of their own) and the mean target of
a bin, shrunk towards the mean of all, is the prediction. Rows are in two folds; each is predicted from the other, and
all rows of an entity are in one, so that a column which merely names entities predicts nothing.

Yes-or-no targets are judged by the area under the ROC curve (AUC), numbers by the explained share of the variance of
their ranks (R2). Both are 1 for a column that determines the target.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_CLASS", "MIN_ROWS", "auc", "auc_error", "bin_codes", "bin_numbers", "cross_fitted", "folds", "power"]

MIN_ROWS = 200
"""With fewer labelled rows nothing is said about predictive power."""

MIN_CLASS = 20
"""So many rows of either answer a fold needs, to judge a yes-or-no target."""

MAX_BINS = 32
"""Quantiles a column of numbers is cut into."""

MAX_CODES = 256
"""Values of a categorical column that are told apart, the most frequent ones."""

SHRINKAGE = 5.0
"""Rows' worth of the overall mean that is mixed into each bin's mean; a fifth of it if the target is a number."""

MIN_ENTITIES = 20
"""With fewer entities the folds are drawn row by row."""

Bins = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def bin_numbers(values: Floats) -> Bins:
    """Bins of a column of numbers: 0 for NaN, then a bin for each value or for each of `MAX_BINS` quantiles."""
    known = np.isfinite(values)
    # Sums are taken by several threads and may differ in their last bits: single precision forgets those.
    with np.errstate(over="ignore"):
        rounded = values[known].astype(np.float32)
    distinct = np.unique(rounded)
    if len(distinct) > MAX_BINS:
        edges = np.unique(np.quantile(rounded, np.linspace(0, 1, MAX_BINS + 1)[1:-1], method="lower"))
    else:
        edges = distinct
    bins = np.zeros(len(values), np.int64)
    bins[known] = 1 + np.searchsorted(edges, rounded, side="left")
    return bins


def bin_codes(codes: NDArray[np.int64]) -> Bins:
    """Bins of a column of codes: 0 for missing (-1), 1 for values beyond the `MAX_CODES` most frequent ones."""
    if not len(codes) or codes.max() < 0:
        return np.zeros(len(codes), np.int64)
    counts = np.bincount(codes[codes >= 0])
    common = np.argsort(-counts, kind="stable")[:MAX_CODES]
    place = np.ones(len(counts), np.int64)
    place[common] = 2 + np.arange(len(common))
    return np.where(codes < 0, 0, place[np.maximum(codes, 0)])


def folds(entity: NDArray[np.integer], rng: np.random.Generator) -> Mask:
    """Which of two folds each row is in: all rows of an entity in one, if there are enough entities."""
    distinct, index = np.unique(entity, return_inverse=True)
    if len(distinct) < MIN_ENTITIES:
        return np.asarray(rng.permutation(len(entity)) % 2 == 0, bool)
    first: Mask = rng.permutation(len(distinct)) % 2 == 0
    both: Mask = first[index]
    return both


def cross_fitted(bins: Bins, target: Floats, fold: Mask, *, shrinkage: float = SHRINKAGE) -> Floats:
    """Predictions for each row from the rows of the other fold; higher means more."""
    out = np.empty(len(bins))
    size = int(bins.max()) + 1 if len(bins) else 1
    for side in (False, True):
        fit = fold == side
        count = np.bincount(bins[fit], minlength=size)
        total = np.bincount(bins[fit], weights=target[fit], minlength=size)
        mean = target[fit].mean() if fit.any() else 0.0
        out[~fit] = ((total + shrinkage * mean) / (count + shrinkage))[bins[~fit]]
    return out


def auc(score: Floats, yes: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counting half; NaN if all targets are the same.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
        0.875
    """
    _, place = np.unique(score, return_inverse=True)
    pos = np.bincount(place, weights=yes.astype(np.float64))
    neg = np.bincount(place, weights=(~yes).astype(np.float64))
    pairs = pos.sum() * neg.sum()
    return float((pos * (np.cumsum(neg) - neg / 2)).sum() / pairs) if pairs else math.nan


def auc_error(num_yes: int, num_no: int) -> float:
    """Standard error of the AUC of a column that says nothing (Hanley and McNeil 1982)."""
    return math.sqrt((num_yes + num_no + 1) / (12 * num_yes * num_no)) if num_yes and num_no else math.inf


def power(bins: Bins, target: Floats, fold: Mask, *, is_number: bool) -> tuple[float, float]:
    """How well the bins predict the target on rows they were not fitted on.

    Args:
        bins: Of the column. Shape ``(N,)``.
        target: Numbers, or 0 and 1. Shape ``(N,)``, no NaN.
        fold: From `folds`.
        is_number: Whether the target is a number rather than yes or no.

    Returns:
        AUC or R2, the mean of both folds, and how many standard errors it is away from saying nothing. NaN and 0 if
        there are too few rows.
    """
    if len(target) < MIN_ROWS or bins.max() == bins.min():
        return math.nan, 0.0
    predicted = cross_fitted(bins, target, fold, shrinkage=SHRINKAGE / 5 if is_number else SHRINKAGE)
    values, scores = [], []
    for side in (False, True):
        at = fold == side
        y, p = target[at], predicted[at]
        if is_number:
            spread = float(((y - y.mean()) ** 2).sum())
            if not spread:
                return math.nan, 0.0
            r2 = 1 - float(((y - p) ** 2).sum()) / spread
            values.append(r2)
            scores.append(r2 * math.sqrt(len(y)))
        else:
            yes = y > 0.5
            num_yes, num_no = int(yes.sum()), int((~yes).sum())
            if min(num_yes, num_no) < MIN_CLASS:
                return math.nan, 0.0
            area = auc(p, yes)
            values.append(area)
            scores.append((area - 0.5) / auc_error(num_yes, num_no))
    return float(np.mean(values)), float(np.mean(scores)) * math.sqrt(2)
