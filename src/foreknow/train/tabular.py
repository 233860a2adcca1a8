"""Aggregates chosen for a task and trees on them: the model every network has to beat.

Everything is fitted on training rows: which features are kept (by what they add to trees on a sample of them), and
the trees. Validation rows only say when to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from foreknow.graph.encode import Encoding
from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.aggregator import Aggregator
from foreknow.sample.aggregates.anchor import Visibility
from foreknow.sample.aggregates.candidates import Limits, core_plan, fit_windows, full_plan
from foreknow.sample.aggregates.feature import AggregatePlan
from foreknow.sample.aggregates.label import LabelHistory, label_horizon
from foreknow.sample.seeds import Seeds
from foreknow.task.label import LabelEncoding
from foreknow.task.task import EntityTask
from foreknow.train.boosting import BoostedTrees, BoostingConfig, fit_trees
from foreknow.train.loop import SplitData
from foreknow.train.screening import explained_share
from foreknow.types import TaskType

__all__ = [
    "AggregateData",
    "SelectionConfig",
    "fit_aggregates",
    "fit_tabular",
    "horizon_of",
    "label_history",
    "visibility",
]

CLOCK_SHARE = 0.95  # of the variance of the seed times: a feature that explains more of it is a clock
MAX_LABELS = 5  # classes or labels whose past is followed


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """How features are chosen."""

    rows: int = 20_000  # training rows looked at, evenly drawn
    screened: int = 400  # sums over histories that go into trees, those that say most on their own
    core_features: int = 120  # kept after the first round
    features: int = 300  # kept at most after the second one
    rows_per_feature: int = 40  # and at most one for so many training rows, but 60 at least
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class AggregateData:
    """The features chosen for a task, and their values in every split.

    ``x[split]``: ``(N, F)`` float32; those of training are of the rows of ``train``, which may be fewer than there are.
    """

    plan: AggregatePlan
    aggregator: Aggregator
    train: SplitData
    x: Mapping[str, np.ndarray]

    @property
    def categorical(self) -> list[int]:
        """Columns that are numbers of categories."""
        return [i for i, c in enumerate(self.aggregator.is_category) if c]


def visibility(store: GraphStore, task: EntityTask) -> Visibility:
    """What the seeds of a task see."""
    keys = [(t.name, k) for t in store.schema for k in t.foreign_keys]
    edges = [e for e, (t, k) in enumerate(keys) if t == task.entity_table and set(task.known) >= set(k.columns)]
    return Visibility(
        inclusive=task.inclusive, context_until=task.context_until, known=task.known, known_edges=tuple(edges)
    )


def horizon_of(task: EntityTask, splits: Mapping[str, SplitData]) -> int:
    """How long after its seed time a label is known, seconds: as the task says, or else by `label_horizon`."""
    if task.horizon_s is not None:
        return task.horizon_s
    return label_horizon([splits[s].seeds.time for s in ("train", "validation", "test") if s in splits])


def label_history(labels: LabelEncoding, splits: Mapping[str, SplitData], *, most: int = MAX_LABELS) -> LabelHistory:
    """The labels of training and validation rows as columns: values, or one indicator per frequent class or label."""
    parts = [splits[s] for s in ("train", "validation") if s in splits]
    seeds = Seeds(row=np.concatenate([p.seeds.row for p in parts]), time=np.concatenate([p.seeds.time for p in parts]))
    target = np.concatenate([p.target for p in parts])
    if labels.type in (TaskType.REGRESSION, TaskType.BINARY):
        return LabelHistory(seeds=seeds, values=target.reshape(-1, 1).astype(np.float32))
    every = len(labels.classes) <= most  # in their own order, then
    frequent = np.arange(len(labels.classes)) if every else np.argsort(-np.array(labels.shares), kind="stable")[:most]
    if labels.type is TaskType.MULTICLASS:
        values = (target[:, None] == frequent).astype(np.float32)
        values[target < -1] = np.nan
    else:
        values = target[:, frequent].astype(np.float32)
    return LabelHistory(seeds=seeds, values=values)


def fit_aggregates(
    store: GraphStore,
    task: EntityTask,
    encoding: Encoding,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    *,
    until: int,
    train_rows: int | None = None,
    seed: int = 0,
    config: SelectionConfig | None = None,
) -> AggregateData:
    """Choose a task's aggregates by its training rows, and compute them for all splits.

    Args:
        store: The graph.
        task: The task.
        encoding: Fitted on the past.
        labels: The task's labels.
        splits: At least ``train``.
        until: The last training seed time, Unix seconds.
        train_rows: Training rows to compute them for at most, evenly spaced; all if not given. The labels of all count
            as past labels.
        seed: Of what is drawn to choose by.
        config: How to choose.
    """
    config = config or SelectionConfig()
    horizon_s = horizon_of(task, splits)
    history = label_history(labels, splits)
    see = visibility(store, task)
    core = core_plan(
        store,
        task.entity_table,
        encoding,
        see=see,
        windows_s=fit_windows(horizon_s, store, until),
        horizon_s=horizon_s,
        num_labels=history.values.shape[1],
        limits=config.limits,
    )
    train = splits["train"]
    rows = np.arange(len(train))
    if len(rows) > config.rows:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), config.rows, replace=False))
    sample, target = train.seeds.take(rows), train.target[rows]
    aggregator = Aggregator(store, core, encoding, see=see, labels=history)
    kept = _best(aggregator, sample, target, labels, task.metric, config.core_features, config, seed)
    aggregator = aggregator.with_plan(full_plan(core, kept, store))
    most = int(np.clip(len(train) // config.rows_per_feature, 60, config.features))
    kept = _best(aggregator, sample, target, labels, task.metric, most, config, seed)
    aggregator = aggregator.with_plan(aggregator.plan.take(kept))
    if train_rows is not None and len(train) > train_rows:
        rows = np.linspace(0, len(train) - 1, train_rows).astype(np.int64)
        train = SplitData(seeds=train.seeds.take(rows), target=train.target[rows])
    x = {k: aggregator.compute((train if k == "train" else s).seeds) for k, s in splits.items()}
    return AggregateData(plan=aggregator.plan, aggregator=aggregator, train=train, x=x)


def _best(
    aggregator: Aggregator,
    seeds: Seeds,
    target: np.ndarray,
    labels: LabelEncoding,
    metric: str,
    most: int,
    config: SelectionConfig,
    seed: int,
) -> list[int]:
    """The features that add most to trees on some rows, in plan order.

    Of values summed up over histories, of which there are many, those that say little alone are left out; attributes,
    clocks, counts and past labels, which matter in company, are not.
    """
    x = aggregator.compute(seeds)
    share = explained_share(x, _columns(labels, target))
    share[_is_clock(aggregator.plan, x, seeds.time)] = -1
    chosen = np.array(_screened(aggregator.plan, share, config.screened), np.int64)
    chosen = chosen[np.array([_varies(x[:, j]) for j in chosen], bool)]
    if not len(chosen):
        return []
    is_category = aggregator.is_category
    trees = fit_trees(
        labels,
        metric,
        (x[:, chosen], target),
        None,
        categorical=[i for i, j in enumerate(chosen) if is_category[j]],
        config=replace(SELECTING, seed=seed),
    )
    gain = trees.gain(len(chosen))
    order = np.lexsort((np.arange(len(gain)), -gain))[:most]
    return sorted(int(chosen[j]) for j in order if gain[j] > 0)


GROWING = BoostingConfig(rounds=600, num_leaves=15, feature_share=0.3, row_share=0.8, min_rows=30, l2=1.0)
SELECTING = BoostingConfig(
    rounds=50, stop_after=0, learning_rate=0.1, num_leaves=15, feature_share=0.25, row_share=0.7, max_bin=63, l2=1.0
)


def _is_clock(plan: AggregatePlan, x: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Which features tell the seed time rather than anything about the seed: a count since the beginning, say.

    Later seed times lie where training saw nothing, so that what trees learn from such a feature doesn't hold. Levels
    of past labels are left in: what they say of the time is what is asked for.
    """
    is_level = [
        f.family == "label" and f.stat is not None and f.stat.kind in ("mean", "ewm", "last") for f in plan.features
    ]
    share = explained_share(x, _ranks(time)[:, None])
    is_clock: np.ndarray = (share > CLOCK_SHARE) & ~np.array(is_level, bool)
    return is_clock


def _screened(plan: AggregatePlan, share: np.ndarray, most: int) -> list[int]:
    """Of the sums over histories the `most` best, each history's best first in turn; everything else."""
    order = np.lexsort((np.arange(len(share)), -share))
    turns: dict[object, int] = {}
    taken: dict[object, int] = {}
    ranked = []
    chosen = [i for i, f in enumerate(plan.features) if f.value is None or f.value.kind == "rows"]
    chosen = [i for i in chosen if share[i] >= 0]
    others = set(range(len(share))) - set(chosen)
    for i in order.tolist():
        if i not in others or share[i] <= 0:
            continue
        f = plan.features[i]
        value, history = (f.anchor, f.chain, f.value), (f.anchor, f.chain)
        taken[value] = taken.get(value, 0) + 1
        turns[history] = turns.get(history, 0) + 1
        # Further statistics of one value say much the same: they wait longer for their turn.
        ranked.append((turns[history] * taken[value], i))
    return sorted(chosen + [i for _, i in sorted(ranked)[:most]])


def _varies(column: np.ndarray) -> bool:
    known = column[~np.isnan(column)]
    return bool(len(known) > 0 and (len(known) < len(column) or (known != known[0]).any()))


def _columns(labels: LabelEncoding, target: np.ndarray) -> np.ndarray:
    """Targets as numbers: values, or an indicator per class or label."""
    if labels.type is TaskType.MULTICLASS:
        is_class: np.ndarray = np.equal(target[:, None], np.arange(len(labels.classes))).astype(np.float64)
        return is_class
    if labels.type is TaskType.REGRESSION:  # ranks: a few huge values must not decide
        return _ranks(target)[:, None]
    columns: np.ndarray = target.reshape(len(target), -1).astype(np.float64)
    return columns


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value among the distinct ones."""
    ranks: np.ndarray = np.unique(values, return_inverse=True)[1].astype(np.float64)
    return ranks


def fit_tabular(
    data: AggregateData,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    metric: str,
    *,
    seed: int = 0,
    config: BoostingConfig | None = None,
) -> BoostedTrees:
    """Trees on a task's aggregates; validation rows say when to stop.

    Args:
        data: From `fit_aggregates`.
        labels: The task's labels.
        splits: ``train`` and ``validation`` at least.
        metric: What the task goes by.
        seed: Of the trees.
        config: How they are grown.
    """
    return fit_trees(
        labels,
        metric,
        (data.x["train"], splits["train"].target),
        (data.x["validation"], splits["validation"].target),
        categorical=data.categorical,
        config=replace(config or GROWING, seed=seed),
    )
