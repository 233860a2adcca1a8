"""Stored predictions: the tables that sinks wrote, found again and read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from foreknow.errors import SinkError, did_you_mean
from foreknow.predict.table import LINEAGE
from foreknow.source.sql import fetch_all, fetch_one, literal, quote

__all__ = ["StoredPredictions", "list_predictions", "predicted_at", "read_predictions"]


@dataclass(frozen=True, kw_only=True)
class StoredPredictions:
    """A table of predictions and where it stands."""

    name: str
    num_rows: int
    columns: tuple[str, ...]
    where: str


def list_predictions(place: Path) -> list[StoredPredictions]:
    """Tables of predictions in a DuckDB file or a folder of Parquet files; none if there is nothing.

    Raises:
        SinkError: It can't be read.
    """
    with _opened(place) as connection:
        found = []
        for name, relation in _relations(connection, place).items():
            columns = tuple(r[0] for r in fetch_all(connection, f"DESCRIBE SELECT * FROM {relation}"))
            if set(LINEAGE) <= set(columns):
                (count,) = fetch_one(connection, f"SELECT count(*) FROM {relation}")
                found.append(StoredPredictions(name=name, num_rows=count, columns=columns, where=str(place)))
    return found


def read_predictions(place: Path, name: str, *, offset: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """Rows of a table of predictions, as plain values, in the order they were written.

    Raises:
        SinkError: There is no such table, or it can't be read.
    """
    known = {s.name for s in list_predictions(place)}
    if name not in known:
        raise SinkError(
            f"there are no predictions '{name}' in '{place}'", hint=did_you_mean(name, known, "predictions")
        )
    with _opened(place) as connection:
        relation = _relations(connection, place)[name]
        # through Arrow: DuckDB's own way to Python values needs another package for moments with a zone
        rows = connection.sql(f"SELECT * FROM {relation} LIMIT {int(limit)} OFFSET {int(offset)}").to_arrow_table()
        found: list[dict[str, Any]] = rows.to_pylist()
        return found


def predicted_at(place: Path, name: str) -> set[dt.datetime]:
    """The moments the lineage of a table tells, in UTC; empty if there is no such table of predictions."""
    if name not in {s.name for s in list_predictions(place)}:
        return set()
    with _opened(place) as connection:
        relation = _relations(connection, place)[name]
        rows = fetch_all(connection, f"SELECT DISTINCT epoch_us(predicted_at) FROM {relation} LIMIT 1000")
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    return {epoch + dt.timedelta(microseconds=us) for (us,) in rows}


def _relations(connection: duckdb.DuckDBPyConnection, place: Path) -> dict[str, str]:
    """What goes after FROM, by table name."""
    if not place.exists():
        return {}
    if place.is_dir():
        files = sorted(f for f in place.glob("*.parquet") if not f.name.startswith("."))
        return {f.stem: f"read_parquet({literal(str(f))})" for f in files}
    rows = fetch_all(
        connection,
        """SELECT table_name FROM duckdb_tables()
           WHERE database_name = 'stored' AND schema_name = 'main' AND NOT internal ORDER BY 1""",
    )
    return {name: f"stored.main.{quote(name)}" for (name,) in rows}


@contextmanager
def _opened(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if place.is_file():
                connection.execute(f"ATTACH {literal(str(place))} AS stored (READ_ONLY)")
            yield connection
    except duckdb.Error as e:
        first = str(e).splitlines()[0]
        hint = "another process is writing: try again in a moment" if "lock" in first.lower() else None
        raise SinkError(f"can't read the predictions in '{place}': {first}", hint=hint) from e
