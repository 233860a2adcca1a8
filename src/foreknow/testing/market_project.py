"""The market of ``testing.market`` as a project: a DuckDB file, and a project file with a task of every type.

    Buys      binary       who buys anything in the 60 days after the seed time?
    Spend     regression   for how much?
    Brand     multiclass   of which brand most, or ``none``?
    Channels  multilabel   through which channels?
    Dear      binary       is the article's price above 20? No time; the entity's key is composite

The first four have three seed times to train on, one to validate and one to test; 60 days lie between any two, so
labels end before the next seed time begins. A training takes about a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from foreknow.project import project_text
from foreknow.source.sql import quote
from foreknow.testing.market import START, market_schema, market_tables
from foreknow.types import DAY_S

__all__ = ["LABELS_END", "QUICK", "SEED_TIMES", "TASKS", "write_market", "write_tables"]

SEED_TIMES: Mapping[str, tuple[int, ...]] = {
    "train": (START + 100 * DAY_S, START + 160 * DAY_S, START + 220 * DAY_S),
    "validation": (START + 280 * DAY_S,),
    "test": (START + 340 * DAY_S,),
}
"""Unix seconds."""

LABELS_END = SEED_TIMES["validation"][-1] + 60 * DAY_S
"""Rows later than this decide neither weights nor validation scores."""

QUICK: Mapping[str, Any] = {"epochs": 2, "channels": 8, "num_neighbors": [4, 3], "batch_size": 16, "dropout": 0.2}
"""Training parameters of the project file."""

_SALES = (
    "FROM sales s WHERE s.customer_id = c.customer_id "
    "AND s.sold > t.seed_time AND s.sold <= t.seed_time + INTERVAL 60 DAYS"
)


def _queries(label: str) -> dict[str, str]:
    """SQL of each split for a label computed per customer and seed time."""

    def query(times: tuple[int, ...]) -> str:
        values = ", ".join(f"(make_timestamp({t}000000))" for t in times)
        return (
            f"SELECT c.customer_id, t.seed_time, ({label}) AS label FROM customers c, (VALUES {values}) t(seed_time) "
            "WHERE c.joined <= t.seed_time ORDER BY ALL"
        )

    return {split: query(times) for split, times in SEED_TIMES.items()}


def _task(kind: str, label: str, **more: Any) -> dict[str, Any]:
    entity = {"customer_id": "customers.customer_id"}
    return {"type": kind, "entity": entity, "time": "seed_time", "label": "label", "tables": _queries(label), **more}


TASKS: Mapping[str, dict[str, Any]] = {
    "Buys": _task("binary_classification", f"SELECT count(*) > 0 {_SALES}"),
    "Spend": _task("regression", f"SELECT coalesce(sum(s.amount), 0) {_SALES}", metric="mae"),
    "Brand": _task(
        "multiclass_classification",
        f"coalesce((SELECT mode(s.brand ORDER BY s.brand) {_SALES}), 'none')",
        metric="accuracy",
    ),
    "Channels": _task(
        "multilabel_classification", f"coalesce((SELECT list_sort(list(DISTINCT s.channel)) {_SALES}), [])"
    ),
    "Dear": {
        "type": "binary_classification",
        "entity": {"columns": ["brand", "code"], "table": "articles"},
        "label": "dear",
        "metric": "accuracy",
        "tables": {
            split: f"SELECT brand, code, price > 20 AS dear FROM articles WHERE code IN ({codes})"
            for split, codes in (("train", "0, 1, 2"), ("validation", "3"), ("test", "4"))
        },
    },
}
"""What stands under ``tasks:`` in the project file."""


def write_market(folder: Path, tables: Mapping[str, pa.Table] | None = None) -> Path:
    """Write ``market.duckdb`` and ``foreknow.yaml`` into a folder, which is made if need be.

    Args:
        folder: Where the project goes.
        tables: Rows; those of `market_tables` if not given.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder / "market.duckdb", market_tables() if tables is None else tables)
    text = project_text(market_schema(), dataset="Market", source="market.duckdb")
    rest = yaml.safe_dump({"tasks": dict(TASKS), "train": dict(QUICK)}, sort_keys=False)
    (folder / "foreknow.yaml").write_text(text + rest)
    return folder


def write_tables(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """Put tables into a DuckDB file, in the place of those of the same names."""
    with duckdb.connect(str(path)) as connection:
        for name, rows in tables.items():
            connection.register("new_rows", rows)
            connection.execute(f"CREATE OR REPLACE TABLE {quote(name)} AS SELECT * FROM new_rows")
            connection.unregister("new_rows")
