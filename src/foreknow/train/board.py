"""Fill the scoreboard: train the baselines a level asks for, beside a trained network, and judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from foreknow.graph.encode import Encoding, TableFeatures
from foreknow.graph.store import GraphStore
from foreknow.task.label import LabelEncoding
from foreknow.task.task import EntityTask
from foreknow.train.baselines import (
    aggregate_baseline,
    embedding_baseline,
    entity_baseline,
    history_baselines,
    majority_baseline,
)
from foreknow.train.loop import SplitData
from foreknow.train.scoreboard import Row, with_intervals
from foreknow.train.tabular import fit_aggregates
from foreknow.train.verdict import verdict

__all__ = ["Board", "Level", "build_board"]

Level = Literal["off", "quick", "full"]

QUICK_ROWS, FULL_ROWS = 100_000, 1_000_000
"""Training rows the trees on aggregates are grown on at most, evenly spaced."""

VECTOR_ROWS = 50_000
"""The same for those that need the network's vectors too."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """The scoreboard: baselines first, the network last, and the verdict (empty if nothing is compared)."""

    rows: tuple[Row, ...]
    verdict: str


def build_board(
    network: Row,
    level: Level,
    *,
    store: GraphStore,
    task: EntityTask,
    encoding: Encoding,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    until: int,
    seed: int,
    vectors: Callable[[SplitData], np.ndarray],
    progress: Callable[[str], None],
) -> Board:
    """Train baselines on the splits the network was trained on, and compare.

    Args:
        network: The network's row, with its predictions.
        level: ``off``: the network alone. ``quick``: what is common, what the entity did before, trees on its columns,
            trees on aggregates of up to 100,000 training rows. ``full``: of up to a million rows, and trees on
            aggregates and the network's vectors.
        store: The graph.
        task: The task.
        encoding: Fitted on the past.
        labels: The task's labels.
        splits: The splits.
        until: The last training seed time, Unix seconds.
        seed: Of everything drawn.
        vectors: The network's vectors of some seeds.
        progress: Told what takes time.
    """
    rows: list[Row] = []
    if level != "off":
        progress("scoreboard: simple baselines")
        rows.append(majority_baseline(labels, splits, task.metric))
        rows += history_baselines(store, task, encoding, labels, splits)
        entity = entity_baseline(
            labels,
            splits,
            TableFeatures(encoding.tables[task.entity_table], store[task.entity_table], encoding.arrays),
            store[task.entity_table],
            metric=task.metric,
            known=task.known,
            inclusive=task.inclusive,
            seed=seed,
            context_until=task.context_until,
        )
        rows += [entity] if entity is not None else []
        progress("scoreboard: aggregates along the links")
        started = time.monotonic()
        most = QUICK_ROWS if level == "quick" else FULL_ROWS
        data = fit_aggregates(store, task, encoding, labels, splits, until=until, seed=seed, train_rows=most)
        fewer = {**splits, "train": data.train}
        seconds = time.monotonic() - started
        aggregates = aggregate_baseline(data, labels, fewer, task.metric, seconds=seconds, seed=seed)
        rows += [aggregates] if aggregates is not None else []
        if level == "full":
            progress("scoreboard: aggregates and the network's vectors")
            started = time.monotonic()
            few = _evenly(data.train, VECTOR_ROWS)
            fewer = {**splits, "train": SplitData(seeds=data.train.seeds.take(few), target=data.train.target[few])}
            data = replace(data, x={**data.x, "train": data.x["train"][few]})
            found = {k: vectors(s) for k, s in fewer.items()}
            seconds = time.monotonic() - started
            rows.append(embedding_baseline(data, found, labels, fewer, task.metric, seconds=seconds, seed=seed))
    rows, resamplers = with_intervals([*rows, network], labels, splits, task.metric, seed=seed)
    return Board(rows=tuple(replace(r, outputs={}) for r in rows), verdict=verdict(rows, resamplers))


def _evenly(split: SplitData, most: int) -> np.ndarray:
    """Up to so many row numbers of a split, evenly spaced."""
    if len(split) <= most:
        return np.arange(len(split))
    return np.linspace(0, len(split) - 1, most).astype(np.int64)
