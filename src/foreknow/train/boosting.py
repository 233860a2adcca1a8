"""Gradient-boosted trees (LightGBM) for every type of task: fitted, applied, and kept as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foreknow.task.label import LabelEncoding
from foreknow.task.metric import metric as find_metric
from foreknow.train.loss import ABSOLUTE_METRICS
from foreknow.types import TaskType

if TYPE_CHECKING:
    import lightgbm as lgb

__all__ = ["BoostedTrees", "BoostingConfig", "fit_trees", "objective_of"]


@dataclass(frozen=True, kw_only=True)
class BoostingConfig:
    """How trees are grown. ``stop_after`` rounds without a better validation loss end it; 0 grows all ``rounds``."""

    rounds: int = 400
    stop_after: int = 30
    learning_rate: float = 0.05
    num_leaves: int = 31
    min_rows: int = 20  # rows per leaf
    feature_share: float = 1.0  # of the features, tried per tree
    row_share: float = 1.0  # of the rows, per tree
    l2: float = 0.0
    max_bin: int = 255
    seed: int = 0

    def params(self) -> dict[str, Any]:
        """LightGBM's names."""
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_rows,
            "feature_fraction": self.feature_share,
            "bagging_fraction": self.row_share,
            "bagging_freq": int(self.row_share < 1),
            "lambda_l2": self.l2,
            "max_bin": self.max_bin,
            "seed": self.seed,
            "verbosity": -1,
            "deterministic": True,
            "force_row_wise": True,
            "bin_construct_sample_cnt": 20_000,
            "feature_pre_filter": False,
            "max_cat_to_onehot": 8,
            "min_data_per_group": 200,
            "cat_smooth": 20,
            "cat_l2": 20,
        }


@dataclass(frozen=True, kw_only=True)
class BoostedTrees:
    """Fitted trees: one booster, or one per label of a multilabel task (a constant where training knew one value)."""

    type: TaskType
    boosters: tuple[lgb.Booster | float, ...]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions as the metrics want them: values, probabilities, or one column of them per class or label."""
        columns = [
            np.full(len(x), b) if isinstance(b, float) else np.asarray(b.predict(x), np.float64) for b in self.boosters
        ]
        return np.stack(columns, axis=1) if self.type is TaskType.MULTILABEL else columns[0]

    @property
    def rounds(self) -> int:
        """Trees (per class) of the largest booster."""
        return max(
            (b.best_iteration or b.current_iteration() for b in self.boosters if not isinstance(b, float)), default=0
        )

    def gain(self, num_features: int) -> np.ndarray:
        """What each feature added, summed over the boosters. Shape ``(F,)``."""
        total = np.zeros(num_features)
        for b in self.boosters:
            if not isinstance(b, float):
                total += b.feature_importance("gain")
        return total

    def to_text(self) -> list[str]:
        """LightGBM's text format, one per booster; the inverse of `from_text`. Holds no code."""
        return [repr(b) if isinstance(b, float) else b.model_to_string() for b in self.boosters]

    @classmethod
    def from_text(cls, type_: TaskType, texts: Sequence[str]) -> BoostedTrees:
        """Rebuild from `to_text`."""
        import lightgbm as lgb

        boosters = [lgb.Booster(model_str=t) if t.startswith("tree") else float(t) for t in texts]
        return cls(type=type_, boosters=tuple(boosters))


def objective_of(labels: LabelEncoding, metric: str) -> Mapping[str, Any]:
    """LightGBM's objective for a task: absolute errors if the metric counts those."""
    if labels.type is TaskType.REGRESSION:
        return {"objective": "l1" if find_metric(metric, labels.type).name in ABSOLUTE_METRICS else "l2"}
    if labels.type is TaskType.MULTICLASS:
        return {"objective": "multiclass", "num_class": len(labels.classes)}
    return {"objective": "binary"}


def fit_trees(
    labels: LabelEncoding,
    metric: str,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    *,
    categorical: Sequence[int] = (),
    config: BoostingConfig | None = None,
) -> BoostedTrees:
    """Grow trees.

    Args:
        labels: The task's labels.
        metric: What the task goes by.
        train: Features ``(N, F)`` and targets (``task.label.encode_labels``).
        validation: The same to stop by; needed if ``stop_after`` is not 0.
        categorical: Features that are numbers of categories.
        config: How.
    """
    import lightgbm as lgb

    config = config or BoostingConfig()
    x, y = train
    params = {**config.params(), **objective_of(labels, metric)}
    params["min_data_in_leaf"] = min(config.min_rows, max(len(x) // 10, 1))  # few rows: small leaves or none at all

    def grow(target: np.ndarray, val_target: np.ndarray | None) -> lgb.Booster:
        train_set = lgb.Dataset(x, target, categorical_feature=list(categorical), free_raw_data=False)
        if validation is None or val_target is None or not config.stop_after:
            return lgb.train(params, train_set, config.rounds)
        val_set = lgb.Dataset(validation[0], val_target, reference=train_set)
        stop = lgb.early_stopping(config.stop_after, verbose=False)
        return lgb.train(params, train_set, config.rounds, valid_sets=[val_set], callbacks=[stop])

    v = None if validation is None else validation[1]
    if labels.type is not TaskType.MULTILABEL:
        if labels.type is TaskType.MULTICLASS:
            y, v = np.maximum(y, 0), None if v is None else np.maximum(v, 0)
        return BoostedTrees(type=labels.type, boosters=(grow(y, v),))
    boosters: list[lgb.Booster | float] = []
    for k in range(y.shape[1]):  # LightGBM wants each label's column in one piece
        column = np.ascontiguousarray(y[:, k])
        one = len(np.unique(column)) < 2
        boosters.append(float(column[0]) if one else grow(column, None if v is None else np.ascontiguousarray(v[:, k])))
    return BoostedTrees(type=labels.type, boosters=tuple(boosters))
