"""Aggregates of 200,000 seeds over 2 million transactions: how long they take.

    python bench/aggregates.py            a shop like H&M's, 100,000 customers, 2 million transactions

Times are wall-clock; the process' CPU seconds stand beside them, since the first say little on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from foreknow.graph.encode import fit_encoding
from foreknow.sample.aggregates.aggregator import Aggregator
from foreknow.sample.aggregates.anchor import Visibility
from foreknow.sample.aggregates.candidates import core_plan, fit_windows
from foreknow.sample.aggregates.label import LabelHistory
from foreknow.sample.seeds import Seeds
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.stores import build_store
from foreknow.types import DAY_S, Stype

WEEK_S, WEEKS = 7 * DAY_S, 104


def table(name: str, columns: str, **more: object) -> Table:
    made = [Column(name=c, dtype=d, stype=Stype(s)) for c, d, s in (part.split() for part in columns.split(", "))]
    return Table(name=name, columns=tuple(made), **more)


SCHEMA = Schema(
    {
        t.name: t
        for t in (
            table("customers", "id BIGINT key, age DOUBLE numerical, club VARCHAR categorical", primary_key=("id",)),
            table(
                "articles",
                "id BIGINT key, department VARCHAR categorical, colour VARCHAR categorical, cost DOUBLE numerical",
                primary_key=("id",),
            ),
            table(
                "transactions",
                "customer BIGINT key, article BIGINT key, at TIMESTAMP timestamp, price DOUBLE numerical, "
                "channel VARCHAR categorical",
                foreign_keys=(
                    ForeignKey(columns=("customer",), table="customers"),
                    ForeignKey(columns=("article",), table="articles"),
                ),
                time_column="at",
            ),
        )
    }
)


def rows(customers: int, transactions: int, rng: np.random.Generator) -> dict[str, pa.Table]:
    articles = 10_000

    def words(n: int, num: int) -> np.ndarray:
        return np.char.add("w", rng.zipf(1.5, n).clip(max=num).astype(str))

    at = np.sort(rng.integers(0, WEEKS * WEEK_S, transactions))
    return {
        "customers": pa.table(
            {"id": np.arange(customers), "age": rng.normal(40, 12, customers), "club": words(customers, 3)}
        ),
        "articles": pa.table(
            {
                "id": np.arange(articles),
                "department": words(articles, 40),
                "colour": words(articles, 20),
                "cost": rng.lognormal(3, 1, articles),
            }
        ),
        "transactions": pa.table(
            {
                "customer": (customers * rng.random(transactions) ** 2).astype(np.int64),
                "article": (articles * rng.random(transactions) ** 3).astype(np.int64),
                "at": pa.array(at).cast(pa.timestamp("s")),
                "price": rng.lognormal(3, 1, transactions),
                "channel": words(transactions, 2),
            }
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--transactions", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=200_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = build_store(Path(folder) / "store", SCHEMA, rows(options.customers, options.transactions, rng))
        until = (WEEKS - 2) * WEEK_S
        encoding = fit_encoding(store, until)
        n = options.seeds
        seeds = Seeds(
            row=rng.integers(0, options.customers, n).astype(np.int32),
            time=until - rng.integers(0, 52, n) * WEEK_S,
        )
        see = Visibility()
        windows = fit_windows(WEEK_S, store, until)
        core = core_plan(store, "customers", encoding, see=see, windows_s=windows, horizon_s=WEEK_S, num_labels=1)
        labels = LabelHistory(seeds=seeds, values=rng.integers(0, 2, (n, 1)).astype(np.float32))
        Aggregator(store, core, encoding, see=see, labels=labels).compute(seeds.take(np.arange(100)))  # compile
        wall, cpu = time.monotonic(), time.process_time()
        x = Aggregator(store, core, encoding, see=see, labels=labels).compute(seeds)
        found = {
            "seeds": n,
            "transactions": options.transactions,
            "features": x.shape[1],
            "seconds": round(time.monotonic() - wall, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
