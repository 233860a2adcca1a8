"""The benchmark's data: an H&M-shaped shop as CSV and as Parquet files, made once and kept.

Layout, below ``bench/data/`` (git-ignored)::

    <name>/csv/<table>.csv, <name>/parquet/<table>.parquet     customers, articles, transactions: the same rows twice
    <name>/csv.yaml, <name>/parquet.yaml                       the project files that read them
    <name>/labels/<split>.parquet                              the churn task's rows
    <name>/rows.json                                           rows per table

Both sides of the benchmark read the same columns with the same meanings: those of the demo project, less the texts,
for which the peer would need a language model. From Parquet, where the two are compared, both find the churn labels
ready made in ``labels/``; from CSV, Foreknow works them out in SQL, as the demo's project does.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import yaml

from foreknow.demo import hm
from foreknow.demo.projects import hm_project
from foreknow.source.sql import fetch_one, literal

HOME = Path(__file__).resolve().parent / "data"
TASK = "Churn"
TABLES = ("customers", "articles", "transactions")
SPLITS = ("train", "validation", "test")
REFERENCE = hm.Size(customers=50_000, articles=10_000, transactions=2_000_000, departments=200)
SIZES = {"reference": REFERENCE, **hm.SIZES}
"""Sizes by name. ``reference`` is the default: about 50 visible purchases a seed, as in the real data."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the files are."""

    folder: Path

    def project(self, kind: str) -> Path:
        """The project file reading ``csv`` or ``parquet`` files."""
        return self.folder / f"{kind}.yaml"

    def file(self, table: str, kind: str = "parquet") -> Path:
        """One table's file."""
        return self.folder / kind / f"{table}.{kind}"

    @cached_property
    def rows(self) -> dict[str, int]:
        """Rows per table."""
        counts: dict[str, int] = json.loads((self.folder / "rows.json").read_text())
        return counts

    def labels(self, split: str) -> Path:
        """The task's rows of one split: customer_id, timestamp, churn."""
        return self.folder / "labels" / f"{split}.parquet"

    def size_bytes(self, kind: str) -> int:
        """Bytes of the files of one kind."""
        return sum(f.stat().st_size for f in (self.folder / kind).iterdir())


def size_of(name: str, transactions: int | None) -> hm.Size:
    """A named size; with another number of transactions, customers and articles grow in proportion."""
    size = SIZES[name]
    if transactions is None:
        return size
    scale = transactions / size.transactions
    return replace(
        size,
        customers=max(1, round(size.customers * scale)),
        articles=max(1, round(size.articles * scale)),
        transactions=transactions,
    )


def make(
    name: str, transactions: int | None = None, *, seed: int = 0, kinds: tuple[str, ...] = ("csv", "parquet")
) -> Data:
    """Make the data of a size, or find it where an earlier run left it."""
    parts = [name, *([] if transactions is None else [str(transactions)]), *([f"seed{seed}"] if seed else [])]
    data = Data(folder=HOME / "-".join(parts))
    if not (data.folder / "rows.json").exists() or not all((data.folder / k).exists() for k in kinds):
        remove(data)
        data.folder.mkdir(parents=True)
        database = data.folder / "hm.duckdb"
        hm.generate(database, size=size_of(name, transactions), seed=seed)
        rows = _export(database, data, kinds)
        database.unlink()
        (data.folder / "rows.json").write_text(json.dumps(rows, indent=1))
    for kind in kinds:  # they hold paths, and the checkout may have moved
        data.project(kind).write_text(_project(data, kind))
    return data


def remove(data: Data) -> None:
    """Delete the files, and what was built from them."""
    shutil.rmtree(data.folder, ignore_errors=True)


def meanings(project: Path) -> dict[str, dict[str, str]]:
    """What each column means, by table, as the project file says; ignored columns are left out."""
    tables = yaml.safe_load(project.read_text())["tables"]
    found = {t: {c: m for c, m in v["columns"].items() if m != "ignore"} for t, v in tables.items()}
    for name, table in tables.items():
        if "time" in table:
            found[name][table["time"]] = "timestamp"
    return found


def _export(database: Path, data: Data, kinds: tuple[str, ...]) -> dict[str, int]:
    rows = {}
    with duckdb.connect(str(database), read_only=True) as connection:
        for kind in kinds:
            (data.folder / kind).mkdir()
            options = "FORMAT parquet" if kind == "parquet" else "FORMAT csv, HEADER"
            for table in TABLES:
                connection.execute(f"COPY {table} TO {literal(str(data.file(table, kind)))} ({options})")
        data.labels("train").parent.mkdir()
        for split in SPLITS:
            target = literal(str(data.labels(split)))
            connection.execute(f"COPY ({hm.churn_sql(split)}) TO {target} (FORMAT parquet)")
        for table in TABLES:
            (rows[table],) = fetch_one(connection, f"SELECT count(*) FROM {table}")
        for split in SPLITS:
            (rows[split],) = fetch_one(connection, f"FROM (SELECT count(*) FROM {literal(str(data.labels(split)))})")
    return rows


def _project(data: Data, kind: str) -> str:
    """The demo's project file, reading a folder and without texts; see above for the labels."""
    project: dict[str, Any] = yaml.safe_load(hm_project())
    project["source"] = kind
    for table in project["tables"].values():
        table["columns"] = {c: "ignore" if m == "text" else m for c, m in table["columns"].items()}
    task = project["tasks"][TASK]
    task["metric"] = "roc_auc"
    if kind == "parquet":
        task["tables"] = {s: f"SELECT * FROM {literal(str(data.labels(s)))}" for s in SPLITS}
    del project["train"]
    return yaml.safe_dump(project, sort_keys=False)
