"""From a trained model to prediction tables and scores."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from foreknow.bundle import Bundle
from foreknow.database import BoundTask, Database
from foreknow.errors import (
    Finding,
    PredictionError,
    TaskError,
)
from foreknow.predict.predictor import Predictor
from foreknow.predict.sink import open_sink
from foreknow.predict.table import Lineage, embeddings_table, predictions_table
from foreknow.source.snapshot import resign
from foreknow.task.label import encode_labels
from foreknow.task.table import read_task_table
from foreknow.task.task import is_query
from foreknow.track.connect import connect
from foreknow.track.registry import Registry
from foreknow.train.scoreboard import score
from foreknow.workflow.reporter import Reporter, Silent
from foreknow.workflow.scoring import asks_itself, rows_to_score, to_seconds


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Written predictions. ``tables`` says where each went; ``head`` holds the first rows as plain values."""

    tables: Mapping[str, str]
    num_rows: int
    columns: tuple[str, ...]
    head: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, float]
    findings: tuple[Finding, ...]


def load_bundle(
    database: Database, *, run_id: str | None = None, model: str | None = None, tracking_uri: str | None = None
) -> tuple[Bundle, str]:
    """Load a trained model.

    Args:
        database: Whose workspace holds the runs.
        run_id: The run that trained it.
        model: Or a registered version: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        tracking_uri: Address of the MLflow server; the workspace's own is started if one is needed and not given.

    Returns:
        The bundle, and how the model is called in prediction tables.

    Raises:
        PredictionError: Neither or both were given.
        TrackingError: It isn't there.
    """
    if (run_id is None) == (model is None):
        raise PredictionError(
            "exactly one of a run and a model is needed", hint="give --run RUN_ID or --model NAME@ALIAS"
        )
    name = ""
    runs = database.workspace / "runs"
    if model is not None:
        tracking_uri = connect(database.workspace, tracking_uri)
        found = Registry(tracking_uri).resolve(model)
        name = f"{found.name}/{found.version}"
        if found.run_id is None:
            raise PredictionError(
                f"model version '{name}' doesn't say which run it is from", hint="register it with foreknow"
            )
        run_id = found.run_id
    assert run_id is not None
    local = runs / run_id / "bundle"
    if not (local / "bundle.json").exists():
        local = database.workspace / "downloads" / run_id
    if not (local / "bundle.json").exists():
        url = connect(database.workspace, tracking_uri)
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=database.workspace) as folder:
            shutil.move(Registry(url).download_bundle(run_id=run_id, into=Path(folder)), local)
    bundle = Bundle.load(local)
    return bundle, name or str(bundle.info.get("run_name", run_id))


def predict(
    database: Database,
    *,
    run_id: str | None = None,
    model: str | None = None,
    into: str,
    table: str | None = None,
    at: str | dt.datetime | dt.date | int | None = None,
    to: Path | None = None,
    embeddings: bool = False,
    overwrite: bool = False,
    batch_size: int = 512,
    device: str = "cpu",
    tracking_uri: str | None = None,
    predicted_at: dt.datetime | None = None,
    reporter: Reporter | None = None,
) -> Prediction:
    """Predict into a table.

    Args:
        database: What to score; rows since training are seen.
        run_id: The run whose model scores.
        model: Or a registered version.
        into: Name of the table to write.
        table: A task table or SQL to predict for. If neither this nor `at` is given: what the task's query says (listed
            ids, AS OF, rows without a value), else the task's test table.
        at: Predict for all entities at this time instead; of a query's task, for all that WHERE keeps.
        to: Where to write instead of into the database: a DuckDB file, or a folder for Parquet.
        embeddings: Write the entities' vectors too, as ``PREDICTIONS_EMBEDDINGS_<COLUMN>_<ALIAS>``.
        overwrite: Replace tables that exist.
        batch_size: Entities scored at once.
        device: Where the network runs.
        tracking_uri: Address of the MLflow server.
        predicted_at: The moment the lineage tells; now if not given.
        reporter: Told what happens.

    Raises:
        SinkError: A table exists already; nothing was done.
        PredictionError: The model doesn't fit the database, or the request makes no sense.
    """
    reporter = reporter or Silent()
    if table is not None and at is not None:
        raise PredictionError("a table and a time were both given", hint="give one of --table and --at")
    seed_time = None if at is None else to_seconds(at)
    sink = open_sink(to or default_destination(database))
    sink.check([into], overwrite=overwrite)
    bundle, label = load_bundle(database, run_id=run_id, model=model, tracking_uri=tracking_uri)
    names = [into]
    if embeddings:
        alias = into.removeprefix("PREDICTIONS_")
        names.append(f"PREDICTIONS_EMBEDDINGS_{'_'.join(bundle.task.entity_columns).upper()}_{alias}")
    sink.check(names, overwrite=overwrite)
    asks = table is None and asks_itself(bundle.task, at)
    query = table if table is not None else bundle.task.tables.get("test")
    if query is None and at is None and not asks:
        raise PredictionError(
            f"task '{bundle.task.name}' has no test table", hint="say what to predict for: --table NAME, or --at TIME"
        )
    extra = (query,) if at is None and not asks and query is not None and not is_query(query) else ()
    reporter.stage("reading tables")
    predictor = Predictor(
        bundle, database.source, database.workspace, extra_tables=extra, device=device, progress=reporter.stage
    )
    if asks:
        rows = rows_to_score(predictor, seed_time)
    elif at is not None:
        rows = predictor.all_entities(None if bundle.task.time is None else seed_time)
    else:
        assert query is not None
        rows = read_task_table(
            predictor.snapshot, bundle.task, "prediction", query, need_label=False, keep_unlabelled=True
        )
    reporter.stage(f"predicting {len(rows):,} rows")
    result = predictor.predict(
        rows,
        embeddings=embeddings,
        batch_size=batch_size,
        progress=lambda done: reporter.on_evaluate(done, len(rows)),
    )
    lineage = Lineage(
        model_version=label,
        run_id=str(bundle.info.get("run_id", "")),
        predicted_at=predicted_at or dt.datetime.now(dt.UTC),
    )
    written = {into: predictions_table(result.keys, result.output, bundle.labels, lineage, top=bundle.task.top)}
    if result.vectors is not None:
        written[names[1]] = embeddings_table(result.keys, result.vectors, lineage)
    before = {t: database.source.signature(t) for t in predictor.snapshot.tables}
    where = sink.write(written, overwrite=overwrite)
    resign(database.source, database.workspace, before)
    metrics: dict[str, float] = {}
    if rows.labels is not None and rows.labels.null_count < len(rows.labels):
        metrics = score(bundle.labels, encode_labels(bundle.labels, rows.labels), result.output)
    findings = [f for f in (*predictor.findings, *rows.findings, *predictor.store.findings) if f.severity != "info"]
    for f in findings:
        reporter.finding(f)
    return Prediction(
        tables=where,
        num_rows=len(rows),
        columns=tuple(written[into].column_names),
        head=tuple(written[into].slice(0, 5).to_pylist()),
        metrics=metrics,
        findings=tuple(findings),
    )


def evaluate(
    database: Database,
    *,
    run_id: str | None = None,
    model: str | None = None,
    split: str = "test",
    table: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Score a trained model on a labelled split as the database is now, without writing anything.

    Raises:
        TaskError: The split has no labels.
    """
    reporter = reporter or Silent()
    bundle, _ = load_bundle(database, run_id=run_id, model=model, tracking_uri=tracking_uri)
    query = table or bundle.task.tables.get(split)
    if query is None:
        raise TaskError(f"task '{bundle.task.name}' has no {split} table", hint="name one with --table")
    extra = () if is_query(query) else (query,)
    predictor = Predictor(bundle, database.source, database.workspace, extra_tables=extra, progress=reporter.stage)
    rows = read_task_table(predictor.snapshot, bundle.task, split, query, need_label=True)
    assert rows.labels is not None
    result = predictor.predict(rows, progress=lambda done: reporter.on_evaluate(done, len(rows)))
    return score(bundle.labels, encode_labels(bundle.labels, rows.labels), result.output)


def save_tables(bound: BoundTask, tables: Mapping[str, pa.Table], *, to: Path | None = None) -> dict[str, str]:
    """Write task tables as ``<task>_train``, ``<task>_validation`` and ``<task>_test``; never over others.

    Args:
        bound: The task.
        tables: Its tables, by split.
        to: A DuckDB file or a folder, if not the database itself.

    Returns:
        Where each went, as a person would say it.

    Raises:
        SinkError: One of them exists already; nothing was written.
    """
    database = bound.database
    sink = open_sink(to or default_destination(database))
    before = {t: database.source.signature(t) for t in bound.snapshot().tables}
    named = {f"{bound.task.name.lower()}_{split}": table for split, table in tables.items()}
    where = sink.write(named, overwrite=False)
    resign(database.source, database.workspace, before)
    return where


def default_destination(database: Database) -> Path:
    """Predictions go into the DuckDB file they are about; for a folder of files, into ``_predictions`` below it."""
    path = Path(database.source.uri)
    if path.is_dir():
        return path / "_predictions"
    if path.name.lower().endswith((".csv", ".tsv", ".gz", ".zst", ".parquet")):
        return path.parent / "_predictions"
    return path
