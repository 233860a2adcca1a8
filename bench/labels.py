"""Seconds and memory for the labels of 52 weekly seed times over two million transactions.

    python bench/labels.py [--transactions 2000000]

Each query runs in a process of its own on the tables of ``foreknow hm generate``, staged beforehand.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import foreknow as fk
from foreknow.demo import hm

EACH = " FOR EACH customers.customer_id"
ACTIVE = " WHERE COUNT(transactions.*, -7, 0, days) > 0"
QUERIES = {
    "churn of those active": f"COUNT(transactions.*, 0, 7, days) = 0{EACH}{ACTIVE}",
    "churn of all": f"COUNT(transactions.*, 0, 7, days) = 0{EACH}",
    "spend in 30 days": f"SUM(transactions.price, 0, 30, days){EACH}{ACTIVE} EVERY 7 days",
    "last channel": f"LAST(transactions.sales_channel_id, 0, 7, days){EACH}",
    "articles, new ones": f"LIST_DISTINCT(transactions.article_id, 0, 7, days) RANK TOP 12 AMONG NEW{EACH}",
    "loyal by all the past": f"COUNT(transactions.*, 0, 7, days) > 0{EACH} WHERE COUNT(transactions.*, -INF, 0) > 5",
}
SPLITS = {"start": "2019-09-02", "val_time": "2020-08-31", "test_time": "2020-09-07", "data_end": "2020-10-07"}


def run(path: Path, query: str) -> None:
    """One query, in this process."""
    splits = dict(SPLITS)
    if " 30, days" in query:
        splits |= {"val_time": "2020-07-27", "test_time": "2020-08-31"}
    bound = fk.open(path).ask(f"PREDICT {query}", **splits)
    snapshot = bound.snapshot()
    start = time.perf_counter()
    made = fk.database.preview(bound.resolved, snapshot)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    rows = sum(t.num_rows for t in made.tables.values())
    print(f"{seconds:6.1f} s  {peak:5.2f} GiB  {rows:10,} rows", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=2_000_000)
    parser.add_argument("--run", nargs=2, metavar=("PROJECT", "QUERY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(Path(options.run[0]), options.run[1])
        return
    from foreknow.demo.projects import hm_project

    with tempfile.TemporaryDirectory() as folder:
        size = hm.Size(customers=70_000, articles=15_000, transactions=options.transactions)
        counts = hm.generate(Path(folder) / "hm.duckdb", size=size)
        (Path(folder) / "foreknow.yaml").write_text(hm_project())
        fk.open(folder).snapshot  # noqa: B018  # staged once, before the clock starts
        print(", ".join(f"{n:,} {t}" for t, n in counts.items()))
        for name, query in QUERIES.items():
            print(f"{name:24}", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--run", folder, query], check=True)


if __name__ == "__main__":
    main()
