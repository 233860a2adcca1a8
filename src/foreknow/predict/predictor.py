"""The predictor: a bundle bound to a database as it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from foreknow.bundle import Bundle
from foreknow.errors import Finding, PredictionError, raise_findings
from foreknow.graph.build import build_graph
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.sample.loader import Loader, Seeds
from foreknow.schema.diff import diff_schema
from foreknow.schema.table import Schema
from foreknow.source.base import Source
from foreknow.source.keys import read_keys
from foreknow.source.snapshot import Snapshot, stage
from foreknow.task.table import NO_TIME, TaskTable

__all__ = ["Predictions", "Predictor", "stage_schema"]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One per row of ``keys``: ``output`` as `outputs_to_predictions` gives it; ``vectors`` ``(N, C)`` if asked for."""

    keys: pa.Table
    output: np.ndarray
    vectors: np.ndarray | None


def stage_schema(
    source: Source,
    schema: Schema,
    workspace: Path,
    *,
    extra: tuple[str, ...] = (),
    progress: Callable[[str], None] | None = None,
) -> Snapshot:
    """Stage the tables of a schema with their derived columns, and further tables as they are."""
    derived = {t.name: {c.name: c.sql for c in t.columns if c.sql is not None} for t in schema}
    names = [*schema.tables, *(t for t in extra if t not in schema)]
    return stage(source, workspace, tables=names, derived=derived, progress=progress)


class Predictor:
    """Scores entities of a database with a bundle.

    Args:
        bundle: The model.
        source: The database, as it is now: rows since training are seen, each seed's past up to its own time.
        workspace: Where snapshots and graphs are kept.
        device: Where the network runs.
        progress: Told what takes time.

    Raises:
        PredictionError: The database lacks what the model needs; the message is a diff.
    """

    def __init__(
        self,
        bundle: Bundle,
        source: Source,
        workspace: Path,
        *,
        extra_tables: tuple[str, ...] = (),
        device: str = "cpu",
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.bundle = bundle
        available = {name: t.columns for name, t in source.tables().items()}
        self.findings: list[Finding] = diff_schema(bundle.schema, available)
        raise_findings(
            self.findings, PredictionError, f"the model doesn't fit '{source.uri}' (- gone, ~ changed since training)"
        )
        self.snapshot = stage_schema(source, bundle.schema, workspace, extra=extra_tables, progress=progress)
        self.store = build_graph(
            self.snapshot, bundle.schema, workspace, key_features=bundle.shallow_embeddings, progress=progress
        )
        self.network = bundle.network(device)
        self.device = device
        self.loader = Loader.for_task(
            self.store,
            bundle.task,
            bundle.encoding,
            num_neighbors=bundle.num_neighbors,
            strategy=bundle.temporal_strategy,
            windows_days=bundle.windows_days,
            seed=bundle.seed,
        )

    def all_entities(self, at: int | None) -> TaskTable:
        """Every entity row that exists at a time, as rows to predict for.

        Args:
            at: Seed time, Unix seconds; None for tasks without time.

        Raises:
            PredictionError: The task needs a time, or no entity exists yet.
        """
        task = self.bundle.task
        if task.time is not None and at is None:
            raise PredictionError(
                f"task '{task.name}' predicts at a time", hint="give one with --at, e.g. --at 2020-09-22"
            )
        staged = self.snapshot[task.entity_table]
        graph = self.store[task.entity_table]
        with self.snapshot.connect() as connection:
            keys = read_keys(connection, staged, task.entity_key).rename_columns(list(task.entity_columns))
        seed_time = NO_TIME if at is None else at
        visible = int(graph.cut(np.array([seed_time]), inclusive=task.inclusive)[0])
        file_row = np.arange(visible) if graph.file_row is None else np.sort(np.asarray(graph.file_row[:visible]))
        keys = keys.take(pa.array(file_row))
        complete = np.ones(keys.num_rows, bool)
        for name in keys.column_names:
            complete &= keys.column(name).is_valid().to_numpy(zero_copy_only=False)
        keys, file_row = keys.filter(pa.array(complete)), file_row[complete]
        if not len(file_row):
            raise PredictionError(f"no row of '{task.entity_table}' exists at that time")
        if task.time is not None:
            assert at is not None
            stamp = pa.repeat(pa.scalar(at, pa.timestamp("s")), len(file_row))
            keys = keys.append_column(task.time, stamp)
        return TaskTable(
            split="all",
            entity_row=file_row.astype(np.int32),
            seed_time=np.full(len(file_row), seed_time, np.int64),
            labels=None,
            label_dtype=None,
            keys=keys,
        )

    def predict(
        self,
        table: TaskTable,
        *,
        embeddings: bool = False,
        batch_size: int = 512,
        progress: Callable[[int], None] | None = None,
    ) -> Predictions:
        """Predict for the rows of a task table, in its order."""
        graph = self.store[self.bundle.task.entity_table]
        seeds = Seeds(row=graph.to_row(table.entity_row).astype(np.int32), time=table.seed_time)
        raw, vectors = run_forward(
            self.network,
            self.loader,
            seeds,
            batch_size=batch_size,
            device=self.device,
            embeddings=embeddings,
            progress=progress,
        )
        output = outputs_to_predictions(raw, self.bundle.labels, np.array(self.bundle.logit_shift))
        return Predictions(keys=table.keys, output=output, vectors=vectors)
