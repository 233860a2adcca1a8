"""CSV and Parquet files as a source.

Every file ``name.csv``, ``name.csv.gz``, ``name.tsv`` or ``name.parquet`` of a folder is table ``name``; a
sub-folder holding such files is one table in parts. The first line of a CSV file names its columns, an empty
field is NULL, and ``NA`` is a text like any other.

CSV types are sniffed on a sample and then enforced on every row: a column whose later values don't fit, or whose
numbers carry leading zeros (``0108775015``), is read again as what all of its values are. So nothing is lost and
no code becomes a number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb

from foreknow.errors import SourceError
from foreknow.source.base import SourceTable
from foreknow.source.duckdb import file_signature
from foreknow.source.sql import fetch_all, fetch_one, literal, quote

__all__ = ["FolderSource"]

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst")
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
SAMPLE_ROWS = 50_000  # how many rows of a text file decide its types at first


@dataclass(frozen=True)
class _Table:
    name: str
    files: tuple[Path, ...]

    @property
    def is_csv(self) -> bool:
        return not self.files[0].name.lower().endswith(".parquet")


@dataclass(frozen=True)
class _CSVFormat:
    """What the sniffer found: how the file is cut, and what its columns are."""

    delimiter: str
    quote: str
    escape: str
    dateformat: str | None
    timestampformat: str | None
    columns: dict[str, str]


class FolderSource:
    """Tables from the CSV and Parquet files of a folder, or from a single file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise SourceError(f"there is no folder or file '{path}'", hint="check the path of the source")
        self._tables = {t.name: t for t in _find(path)}
        if not self._tables:
            raise SourceError(
                f"no tables in '{path}'",
                hint="a folder source holds one .csv, .csv.gz or .parquet file (or sub-folder of them) per table",
            )
        self._formats: dict[tuple[str, bool], _CSVFormat] = {}
        self._exact: set[str] = set()  # CSV tables whose types had to be taken from all rows

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.path)

    def tables(self) -> dict[str, SourceTable]:
        """All tables with their columns; CSV files are sniffed."""
        with duckdb.connect() as connection:
            return {
                t.name: SourceTable(name=t.name, columns=self._columns(t, connection)) for t in self._tables.values()
            }

    def signature(self, table: str) -> str:
        """Sizes and times of the table's files."""
        return file_signature(*self._tables[table].files)

    def relation(self, table: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Return SQL reading the files with the types of `tables`."""
        t = self._tables[table]
        if not t.is_csv:
            return f"read_parquet({_file_list(t.files)}, union_by_name = true)"
        return f"({self._typed_csv(t, self._format(t, connection))})"

    def widen(self, table: str) -> bool:
        """Take the types of a CSV table from all of its rows from now on; False if they were already.

        Called when reading with sampled types failed.
        """
        if not self._tables[table].is_csv or table in self._exact:
            return False
        self._exact.add(table)
        return True

    def _columns(self, t: _Table, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        if t.is_csv:
            return self._format(t, connection).columns
        try:
            rows = fetch_all(
                connection,
                f"DESCRIBE SELECT * FROM read_parquet({_file_list(t.files)}, union_by_name = true)",
            )
        except duckdb.Error as e:
            raise SourceError(f"table '{t.name}': can't read Parquet: {_first_line(e)}") from e
        return {r[0]: r[1] for r in rows}

    def _format(self, t: _Table, connection: duckdb.DuckDBPyConnection) -> _CSVFormat:
        exact = t.name in self._exact
        if (t.name, exact) not in self._formats:
            self._formats[t.name, exact] = self._sniff(t, connection, exact=exact)
        return self._formats[t.name, exact]

    def _sniff(self, t: _Table, connection: duckdb.DuckDBPyConnection, *, exact: bool) -> _CSVFormat:
        path = t.files[0]
        if path.stat().st_size == 0:
            raise SourceError(f"table '{t.name}': the file '{path.name}' is empty")
        sample = -1 if exact else SAMPLE_ROWS
        try:
            row = fetch_one(
                connection,
                "SELECT Delimiter, Quote, Escape, DateFormat, TimestampFormat, to_json(Columns) "
                f"FROM sniff_csv({literal(str(path))}, header = true, sample_size = {sample})",
            )
        except duckdb.Error as e:
            raise SourceError(f"table '{t.name}': can't read CSV file '{path.name}': {_first_line(e)}") from e
        delimiter, quote_, escape, dateformat, timestampformat, columns = row
        found = _CSVFormat(
            delimiter=delimiter,
            quote=_character(quote_),
            escape=_character(escape),
            dateformat=dateformat or None,
            timestampformat=timestampformat or None,
            columns={c["name"]: c["type"] for c in json.loads(columns)},
        )
        return self._keep_codes(t, found, connection, limit=None if exact else SAMPLE_ROWS)

    def _keep_codes(
        self, t: _Table, found: _CSVFormat, connection: duckdb.DuckDBPyConnection, *, limit: int | None
    ) -> _CSVFormat:
        """Turn integer columns with leading zeros back into text, as far as the rows looked at tell."""
        integers = [c for c, d in found.columns.items() if d in INTEGERS]
        if not integers:
            return found
        tests = ", ".join(f"bool_or({_has_leading_zero(quote(c))})" for c in integers)
        rows = f"(FROM {self._raw_csv(t, found)}{f' LIMIT {limit}' if limit else ''})"
        flags = fetch_one(connection, f"SELECT {tests} FROM {rows}")
        codes = {c for c, flag in zip(integers, flags, strict=True) if flag}
        columns = {c: "VARCHAR" if c in codes else d for c, d in found.columns.items()}
        return _CSVFormat(found.delimiter, found.quote, found.escape, found.dateformat, found.timestampformat, columns)

    def _raw_csv(self, t: _Table, f: _CSVFormat) -> str:
        return (
            f"read_csv({_file_list(t.files)}, header = true, all_varchar = true, nullstr = '', "
            f"delim = {literal(f.delimiter)}, quote = {literal(f.quote)}, escape = {literal(f.escape)}"
            + (", union_by_name = true)" if len(t.files) > 1 else ")")
        )

    def _typed_csv(self, t: _Table, f: _CSVFormat) -> str:
        """SQL that reads text and converts it, failing (see `widen`) rather than losing a leading zero."""
        parts = []
        for name, dtype in f.columns.items():
            c = quote(name)
            if dtype == "VARCHAR":
                parts.append(c)
            elif dtype in INTEGERS:
                message = literal(f"leading zero in column {name}")
                parts.append(
                    f"CASE WHEN {_has_leading_zero(c)} THEN error({message}) ELSE CAST({c} AS {dtype}) END AS {c}"
                )
            elif dtype == "DATE" and f.dateformat:
                parts.append(f"CAST(strptime({c}, {literal(f.dateformat)}) AS DATE) AS {c}")
            elif dtype == "TIMESTAMP" and f.timestampformat:
                parts.append(f"strptime({c}, {literal(f.timestampformat)}) AS {c}")
            else:
                parts.append(f"CAST({c} AS {dtype}) AS {c}")
        return f"SELECT {', '.join(parts)} FROM {self._raw_csv(t, f)}"


def _find(path: Path) -> list[_Table]:
    if path.is_file():
        return [_Table(_stem(path), (path,))] if _is_table_file(path) else []
    tables = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_file() and _is_table_file(entry):
            tables.append(_Table(_stem(entry), (entry,)))
        elif entry.is_dir():
            parts = tuple(sorted(p for p in entry.rglob("*") if p.is_file() and _is_table_file(p)))
            kinds = {p.name.lower().endswith(".parquet") for p in parts}
            if len(kinds) > 1:
                raise SourceError(f"folder '{entry.name}' mixes CSV and Parquet files", hint="keep one kind per table")
            if parts:
                tables.append(_Table(entry.name, parts))
    names = [t.name for t in tables]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SourceError(
            f"{len(twice)} table name(s) occur twice in '{path}': {', '.join(twice)}",
            hint="a table is either one file or one sub-folder",
        )
    return tables


def _is_table_file(path: Path) -> bool:
    return path.name.lower().endswith((*CSV_SUFFIXES, ".parquet"))


def _stem(path: Path) -> str:
    name = path.name
    for suffix in sorted((*CSV_SUFFIXES, ".parquet"), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def _file_list(files: tuple[Path, ...]) -> str:
    return "[" + ", ".join(literal(str(f)) for f in files) + "]"


def _has_leading_zero(column: str) -> str:
    return f"(starts_with({column}, '0') AND length({column}) > 1)"


def _character(value: str | None) -> str:
    """The sniffer spells an absent quote or escape character ``(empty)`` or NUL."""
    return value if value and value not in ("(empty)", "\0") else ""


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
