"""The DuckDB file of an H&M database: its schema, and how a new one comes into being.

The file is written under another name beside its place and renamed when complete, so a reader never meets a
half-made one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psutil

from foreknow.errors import SinkError
from foreknow.source.sql import columns_list, quote

__all__ = ["COLUMNS", "Progress", "count_rows", "create_tables", "insert", "new_database"]

Progress = Callable[[str, float], None]
"""Told what is being written and the share of the whole work that is done, 0 to 1."""

COLUMNS: dict[str, dict[str, str]] = {
    "customers": {
        "customer_id": "VARCHAR",
        "FN": "DOUBLE",
        "Active": "DOUBLE",
        "club_member_status": "VARCHAR",
        "fashion_news_frequency": "VARCHAR",
        "age": "BIGINT",
        "postal_code": "VARCHAR",
    },
    "articles": {
        "article_id": "VARCHAR",
        "product_code": "BIGINT",
        "prod_name": "VARCHAR",
        "product_type_no": "BIGINT",
        "product_type_name": "VARCHAR",
        "product_group_name": "VARCHAR",
        "graphical_appearance_no": "BIGINT",
        "graphical_appearance_name": "VARCHAR",
        "colour_group_code": "BIGINT",
        "colour_group_name": "VARCHAR",
        "perceived_colour_value_id": "BIGINT",
        "perceived_colour_value_name": "VARCHAR",
        "perceived_colour_master_id": "BIGINT",
        "perceived_colour_master_name": "VARCHAR",
        "department_no": "BIGINT",
        "department_name": "VARCHAR",
        "index_code": "VARCHAR",
        "index_name": "VARCHAR",
        "index_group_no": "BIGINT",
        "index_group_name": "VARCHAR",
        "section_no": "BIGINT",
        "section_name": "VARCHAR",
        "garment_group_no": "BIGINT",
        "garment_group_name": "VARCHAR",
        "detail_desc": "VARCHAR",
    },
    "transactions": {
        "t_dat": "DATE",
        "customer_id": "VARCHAR",
        "article_id": "VARCHAR",
        "price": "DOUBLE",
        "sales_channel_id": "BIGINT",
    },
}
"""Tables, columns and DuckDB types of the H&M data, in the order of the Kaggle files."""

_PRIMARY_KEYS = {"customers": "customer_id", "articles": "article_id"}
_UNFINISHED = ".partial"


@contextmanager
def new_database(path: Path, *, overwrite: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database that appears at `path` only if the block ends well.

    Args:
        path: Where the database goes; missing folders are made.
        overwrite: Replace a file that is there already.

    Yields:
        A connection that keeps the order of inserted rows.

    Raises:
        SinkError: `path` exists and `overwrite` is off, or it can't be a file.
    """
    _check_free(path, overwrite)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        db = duckdb.connect(str(unfinished))
    except (OSError, duckdb.Error) as error:
        raise SinkError(f"can't write '{path}': {error}", hint="choose a folder you can write to.") from error
    try:
        try:
            yield db
            db.execute("CHECKPOINT")
        except duckdb.IOException as error:
            raise SinkError(f"can't write '{path}': {error}", hint="check the free space on its disk.") from error
        finally:
            db.close()
        _check_free(path, overwrite)  # someone else may have been faster
        _remove(_log(path))  # the old file's log must not be replayed into the new file
        unfinished.replace(path)
    finally:
        _remove(unfinished)
        _remove(_log(unfinished))


def create_tables(db: duckdb.DuckDBPyConnection) -> None:
    """Create the three empty tables; customers and articles have primary keys, links are not declared."""
    for table, columns in COLUMNS.items():
        parts = [f"{quote(name)} {dtype}" for name, dtype in columns.items()]
        if table in _PRIMARY_KEYS:
            parts.append(f"PRIMARY KEY ({quote(_PRIMARY_KEYS[table])})")
        db.execute(f"CREATE TABLE {quote(table)} ({', '.join(parts)})")


def insert(db: duckdb.DuckDBPyConnection, table: str, rows: Any) -> None:
    """Append the rows of a `pyarrow.Table` with the columns of `table`."""
    db.register("_rows", rows)
    db.execute(f"INSERT INTO {quote(table)} SELECT {columns_list(COLUMNS[table])} FROM _rows")
    db.unregister("_rows")


def count_rows(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows per table."""
    counts = {}
    for table in COLUMNS:
        row = db.execute(f"SELECT count(*) FROM {quote(table)}").fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return counts


def _check_free(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise SinkError(f"'{path}' is a folder", hint="name a file in it, such as hm.duckdb.")
    if path.exists() and not overwrite:
        raise SinkError(f"'{path}' exists already", hint="choose another path, or pass overwrite=True to replace it.")


def _remove_leftovers(path: Path) -> None:
    """Delete what killed processes left beside `path`; a running process keeps its file."""
    for file in path.parent.iterdir():
        owner = file.name.removeprefix(f"{path.name}.").removesuffix(_UNFINISHED)
        mine = file.name == f"{path.name}.{owner}{_UNFINISHED}" and owner.isdecimal()
        if mine and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            _remove(_log(file))
            _remove(file)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
