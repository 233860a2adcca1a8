"""The real H&M data: the CSV files of the Kaggle competition, read into the schema of `hm_database`.

https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations
"""

from __future__ import annotations

import csv
import glob
import gzip
import zlib
from pathlib import Path

import duckdb

from foreknow.demo.hm_database import COLUMNS, Progress, count_rows, create_tables, new_database
from foreknow.errors import Finding, SourceError, did_you_mean, raise_findings
from foreknow.source.sql import literal, quote

__all__ = ["import_kaggle"]

_FILES = {"customers": "customers.csv", "articles": "articles.csv", "transactions": "transactions_train.csv"}
_START = {"customers": 0.0, "articles": 0.05, "transactions": 0.06}  # share of the work done when a table starts


def import_kaggle(
    folder: Path, path: Path, *, progress: Progress | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Read the Kaggle files into a new DuckDB database.

    Identifiers stay text, so article ids keep their leading zero; further columns are left out; rows keep the
    files' order.

    Args:
        folder: Holds ``customers.csv``, ``articles.csv`` and ``transactions_train.csv``, or the same as ``.csv.gz``.
        path: Where the database goes.
        progress: Told the table being read and the share of the work done.
        overwrite: Replace a file that is there already.

    Returns:
        Rows per table.

    Raises:
        SourceError: A file or column is missing, or a value doesn't fit its column.
        SinkError: `path` exists and `overwrite` is off, or it can't be written.
    """
    files = _find_files(Path(folder))
    with new_database(Path(path), overwrite=overwrite) as db:
        create_tables(db)
        for table, file in files.items():
            if progress is not None:
                progress(table, _START[table])
            _load(db, table, file)
        rows = count_rows(db)
    if progress is not None:
        progress("transactions", 1.0)
    return rows


def _find_files(folder: Path) -> dict[str, Path]:
    """The file of each table; everything that is missing is said at once."""
    files, missing = {}, []
    for table, name in _FILES.items():
        found = [file for file in (folder / name, folder / f"{name}.gz") if file.is_file()]
        if found:
            files[table] = found[0]
        else:
            missing.append(name)
    findings = [finding for table, file in files.items() for finding in _check_columns(table, file)]
    if missing:
        findings.insert(
            0,
            Finding(
                name="missing-file",
                count=len(missing),
                message=f"there is no {', no '.join(missing)} (nor .csv.gz)",
                hint="download the competition's files from Kaggle, unzip them, and name the folder they are in.",
            ),
        )
    raise_findings(findings, SourceError, f"'{folder}' doesn't hold the H&M data")
    return files


def _check_columns(table: str, file: Path) -> list[Finding]:
    try:
        there = _header(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        message = f"'{file.name}' can't be read: {error}"
        return [Finding(name="unreadable-file", table=table, message=message)]
    missing = [name for name in COLUMNS[table] if name not in there]
    if not missing:
        return []
    message = f"'{file.name}' has no column {', '.join(missing)}"
    hint = did_you_mean(missing[0], there, "columns of the file")
    return [Finding(name="missing-column", table=table, count=len(missing), message=message, hint=hint)]


def _header(file: Path) -> list[str]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8-sig", newline="") as text:
        return next(csv.reader(text), [])


def _load(db: duckdb.DuckDBPyConnection, table: str, file: Path) -> None:
    values = ", ".join(_value(name, dtype) for name, dtype in COLUMNS[table].items())
    try:
        db.execute(f"INSERT INTO {quote(table)} SELECT {values} FROM {_csv(file)}")
    except (duckdb.ConversionException, duckdb.ConstraintException, duckdb.InvalidInputException) as error:
        said = " ".join(str(error).split("\n\n")[0].split())  # what follows are DuckDB's options
        raise SourceError(
            f"table '{table}': '{file}' can't be read: {said}",
            hint="load the file as Kaggle offers it; a download cut short also looks like this.",
        ) from error


def _value(name: str, dtype: str) -> str:
    if dtype == "BIGINT":  # by way of DOUBLE: a program that had missing values as NaN wrote 49 as 49.0
        return f"CAST(CAST({quote(name)} AS DOUBLE) AS BIGINT)"
    return f"CAST({quote(name)} AS {dtype})"


def _csv(file: Path) -> str:
    """The file as a DuckDB table of texts; nothing is guessed, so leading zeros stay."""
    name = literal(glob.escape(str(file)))  # brackets in a folder's name are no pattern
    columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in _header(file))
    options = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
    return f"read_csv({name}, columns = {{{columns}}}, {options})"
