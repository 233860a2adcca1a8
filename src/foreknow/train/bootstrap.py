"""Bootstrap over rows: how far a metric, and the difference of two models, could have come out otherwise.

Intervals are 1.96 standard errors to either side, the errors taken from the resamples: a hundred of them give a steady
deviation, but no steady quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from foreknow.task.metric import hard_labels
from foreknow.task.metric import metric as find_metric
from foreknow.types import TaskType

__all__ = ["Resampler"]

RESAMPLES = 100
MAX_DRAWN = 4_000
"""Rows drawn per resample at most. Of more rows fewer are drawn and the deviations scaled (m out of n)."""


class Resampler:
    """Draws the rows of a split again and again, the same for all models, and measures each model on each draw.

    Args:
        task_type: The task's type.
        metric: What is measured.
        target: Known targets. Shape ``(N, ...)``.
        outputs: Predictions of each model for the same rows.
        seed: The same seed draws the same rows.
    """

    def __init__(
        self, task_type: TaskType, metric: str, target: np.ndarray, outputs: Sequence[np.ndarray], *, seed: int = 0
    ) -> None:
        self.metric = find_metric(metric, task_type)
        n = len(target)
        drawn = min(n, MAX_DRAWN)
        self._scale = math.sqrt(drawn / n)
        if self.metric.needs == "labels":
            outputs = [hard_labels(task_type, o) for o in outputs]
        self.values = np.array([self.metric.compute(target, o) for o in outputs])
        rng = np.random.default_rng(seed)
        self._draws = np.empty((RESAMPLES, len(outputs)))
        for b in range(RESAMPLES):
            rows = rng.integers(0, n, drawn)
            for i, output in enumerate(outputs):
                self._draws[b, i] = self.metric.compute(target[rows], output[rows])

    def interval(self, i: int) -> tuple[float, float] | None:
        """95% interval of a model's metric; None if it is not defined."""
        return self._around(float(self.values[i]), self._draws[:, i])

    def difference(self, i: int, j: int) -> tuple[float, tuple[float, float] | None]:
        """How much model `i` has more of the metric than model `j`, and the 95% interval of that."""
        value = float(self.values[i] - self.values[j])
        return value, self._around(value, self._draws[:, i] - self._draws[:, j])

    def _around(self, value: float, draws: np.ndarray) -> tuple[float, float] | None:
        draws = draws[np.isfinite(draws)]
        if not math.isfinite(value) or len(draws) < RESAMPLES // 2:
            return None
        error = 1.96 * float(draws.std(ddof=1)) * self._scale
        return value - error, value + error
