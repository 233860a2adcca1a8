"""The verdict: what a scoreboard comes to, in a sentence a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foreknow.task.metric import is_better
from foreknow.train.bootstrap import Resampler
from foreknow.train.scoreboard import NETWORK, WITH_VECTORS, Row

__all__ = ["verdict"]

_SHOWN = {"roc_auc": "ROC-AUC", "mae": "MAE", "rmse": "RMSE", "r2": "R2", "f1": "F1", "mape": "MAPE"}


def verdict(rows: Sequence[Row], resamplers: Mapping[str, Resampler]) -> str:
    """Compare the network with the baseline that is best on validation.

    The difference is measured on test, on validation if there is no labelled test, over the same rows, and called one
    only if its 95% interval leaves zero out.

    Args:
        rows: The scoreboard.
        resamplers: By split, over the same rows.

    Returns:
        One sentence, or an empty text if there is nothing to compare.
    """
    at = next((i for i, r in enumerate(rows) if r.model == NETWORK), None)
    others = [i for i in range(len(rows)) if i != at and rows[i].model != WITH_VECTORS]
    if at is None or not others or "validation" not in resamplers:
        return ""
    validation = resamplers["validation"]
    metric = validation.metric
    best = others[0]
    for i in others[1:]:
        if is_better(metric, float(validation.values[i]), float(validation.values[best])):
            best = i
    split = "test" if "test" in resamplers and resamplers["test"].interval(at) else "validation"
    gain, interval = resamplers[split].difference(at, best)
    if interval is None:
        return ""
    if not metric.higher_is_better:
        gain, interval = -gain, (-interval[1], -interval[0])
    name = _SHOWN.get(metric.name, metric.name.replace("_", " "))
    low, high = interval
    span = f"[{low:+.3g}, {high:+.3g}]"
    other = rows[best].model
    better = name if metric.higher_is_better else f"less {name}"
    if low > 0:
        return f"The graph network adds {gain:+.3g} {better} over {other} on {split}, outside the interval: {span}."
    if high < 0:
        return (
            f"{_capital(other)} is better here: the graph network falls behind by {-gain:.3g} {name} on {split}, "
            f"outside the interval: {span}."
        )
    return (
        f"{_capital(other)} is enough here: the graph network adds nothing that {split} can show "
        f"({gain:+.3g} {better}, interval {span})."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
