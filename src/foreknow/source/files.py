"""CSV and Parquet files as a source.

Every file ``name.csv``, ``name.csv.gz``, ``name.tsv`` or ``name.parquet`` of a folder is table ``name``; a
sub-folder holding such files is one table in parts. The first line of a CSV file names its columns, an empty
field is NULL, and ``NA`` is a text like any other.

CSV types are sniffed on a sample and then enforced on every row: a column whose later values don't fit, or whose
numbers carry leading zeros (``0108775015``) or have more digits than an integer holds, is read again as what all of
its values are. So nothing is lost and no code becomes a number. Lines with more or fewer fields than the first are an
error. The parts of a table may have their columns in any order, and a part may lack some.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from foreknow.errors import SourceError
from foreknow.source.base import SourceTable
from foreknow.source.duckdb import file_signature
from foreknow.source.sql import fetch_all, fetch_one, literal, quote, reason

__all__ = ["FolderSource"]

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst")
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
TYPES = ("BOOLEAN", *INTEGERS, "DOUBLE", "TIME", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")  # narrow ones first
SAMPLE_ROWS = 50_000  # how many rows of a text file decide its types at first


@dataclass(frozen=True)
class _Table:
    name: str
    files: tuple[Path, ...]
    is_partitioned: bool = False  # by sub-folders called key=value

    @property
    def is_csv(self) -> bool:
        return not self.files[0].name.lower().endswith(".parquet")

    @property
    def parquet_sql(self) -> str:
        hive = str(self.is_partitioned).lower()
        return f"read_parquet({_file_list(self.files)}, union_by_name = true, hive_partitioning = {hive})"


@dataclass(frozen=True)
class _CSVFormat:
    """What the sniffer found: how the file is cut, and what its columns are."""

    delimiter: str
    quote: str
    escape: str
    skip: int
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
            return t.parquet_sql
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
            rows = fetch_all(connection, f"DESCRIBE SELECT * FROM {t.parquet_sql}")
        except duckdb.Error as e:
            raise SourceError(f"table '{t.name}': can't read Parquet: {reason(e)}") from e
        return {r[0]: r[1] for r in rows}

    def _format(self, t: _Table, connection: duckdb.DuckDBPyConnection) -> _CSVFormat:
        exact = t.name in self._exact
        if (t.name, exact) not in self._formats:
            try:
                self._formats[t.name, exact] = self._sniff(t, connection, exact=exact)
            except duckdb.Error as e:
                raise SourceError(f"table '{t.name}': can't read CSV: {reason(e)}") from e
        return self._formats[t.name, exact]

    def _sniff(self, t: _Table, connection: duckdb.DuckDBPyConnection, *, exact: bool) -> _CSVFormat:
        """Find out how a table's files are cut and what their columns are.

        A sample of the first part with rows tells; if `exact`, or if parts differ in their columns, all rows do.
        """
        files = [f for f in t.files if f.stat().st_size]
        if not files:
            raise SourceError(f"table '{t.name}': the file '{t.files[0].name}' is empty")
        limit = None if exact else SAMPLE_ROWS
        found = [_sniff_file(t, files[0], connection, limit)]
        if len(files) > 1:
            while not exact and len(found) < len(files) and not _has_rows(files[len(found) - 1], found[-1], connection):
                found.append(_sniff_file(t, files[len(found)], connection, limit))
            names = {r[0] for r in fetch_all(connection, f"DESCRIBE FROM {_raw_csv(files, found[-1])}")}
            if exact or names != set(found[-1].columns):
                found = [_sniff_file(t, f, connection, None) for f in files]
                return _keep_codes(files, _unite(t, files, found, connection), connection, limit=None)
        return _keep_codes(files, found[-1], connection, limit=limit)

    def _typed_csv(self, t: _Table, f: _CSVFormat) -> str:
        """SQL that reads text and converts it."""
        parts = [f"{_converted(c, d, f)} AS {quote(c)}" for c, d in f.columns.items()]
        return f"SELECT {', '.join(parts)} FROM {_raw_csv([p for p in t.files if p.stat().st_size], f)}"


def _sniff_file(t: _Table, path: Path, connection: duckdb.DuckDBPyConnection, limit: int | None) -> _CSVFormat:
    row = fetch_one(
        connection,
        "SELECT Delimiter, Quote, Escape, SkipRows, DateFormat, TimestampFormat, to_json(Columns) FROM sniff_csv("
        f"{literal(str(path))}, header = true, comment = '', sample_size = {limit or -1})",
    )
    delimiter, quote_, escape, skip, dateformat, timestampformat, columns = row
    quote_ = _character(quote_)
    found = _CSVFormat(
        delimiter=delimiter,
        quote=quote_,
        escape=_character(escape) or quote_,
        skip=skip,
        dateformat=dateformat or None,
        timestampformat=timestampformat or None,
        columns={c["name"]: c["type"] for c in json.loads(columns)},
    )
    _check_lines(t, path, found, connection)
    if not found.quote:  # none seen so far; fields may be quoted later on
        starts = " OR ".join(f"starts_with({quote(c)}, '\"')" for c in found.columns)
        rows = f"(FROM {_raw_csv([path], found)}{f' LIMIT {limit}' if limit else ''})"
        if not fetch_one(connection, f"SELECT bool_or({starts}) FROM {rows}")[0]:
            found = replace(found, quote='"', escape='"')
    return found


def _check_lines(t: _Table, path: Path, f: _CSVFormat, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse what the sniffer makes of lines of different length: it skips the first ones, or sees one column.

    Lines above the header that don't look like part of a table (titles, blank lines) may be skipped.
    """
    header = next(iter(f.columns))
    delimiter = next((d for d in ",;\t|" if d in header), None) if len(f.columns) == 1 else None
    if f.skip:
        whole = f"read_csv({literal(str(path))}, auto_detect = false, header = false, columns = {{'line': 'VARCHAR'}}, "
        whole += "delim = '\x1f', quote = '', escape = '', comment = '')"
        lines = [r[0] or "" for r in fetch_all(connection, f"FROM {whole} LIMIT {f.skip}")]
        delimiter = delimiter or next((f.delimiter for line in lines if f.delimiter in line), None)
    if delimiter is None:
        return
    raise SourceError(
        f"table '{t.name}': the lines of '{path.name}' differ in their number of fields (cut at {delimiter!r})",
        hint="the first line names the columns and every other line has as many fields; "
        f"a field that holds {delimiter!r} needs quotes",
    )


def _has_rows(path: Path, f: _CSVFormat, connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(fetch_all(connection, f"FROM {_raw_csv([path], f)} LIMIT 1"))


def _unite(
    t: _Table, files: Sequence[Path], parts: Sequence[_CSVFormat], connection: duckdb.DuckDBPyConnection
) -> _CSVFormat:
    """One format for all parts: each column has the narrowest type, of those found in a part, that fits all rows."""
    for path, part in zip(files, parts, strict=True):
        if (part.delimiter, part.skip) != (parts[0].delimiter, parts[0].skip) and len(part.columns) > 1:
            raise SourceError(
                f"table '{t.name}': its parts are written differently: '{files[0].name}' is cut at "
                f"{parts[0].delimiter!r}, '{path.name}' at {part.delimiter!r}",
                hint="make them alike, or keep each as a table of its own",
            )
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for c, d in part.columns.items():
            kinds.setdefault(c, set()).add(d)
    united = replace(
        parts[0],
        dateformat=next((p.dateformat for p in parts if p.dateformat), None),
        timestampformat=next((p.timestampformat for p in parts if p.timestampformat), None),
    )
    tried = [(c, d) for d in TYPES for c in kinds if d in kinds[c]]
    tests = [
        f"count(*) FILTER ({quote(c)} IS NOT NULL AND {_converted(c, d, united, or_null=True)} IS NULL)"
        for c, d in tried
    ]
    misfits = fetch_one(connection, f"SELECT {', '.join([*tests, '0'])} FROM {_raw_csv(files, united)}")
    fits = [pair for pair, n in zip(tried, misfits, strict=False) if not n]
    return replace(united, columns={c: next((d for x, d in fits if x == c), "VARCHAR") for c in kinds})


def _keep_codes(
    files: Sequence[Path], found: _CSVFormat, connection: duckdb.DuckDBPyConnection, *, limit: int | None
) -> _CSVFormat:
    """Turn numbers that are codes back into text, as far as the rows looked at tell.

    These are numbers with leading zeros, and columns of whole numbers too long for an integer: as floats, different
    ones would become the same.
    """
    tests = {c: f"bool_or({_is_altered(c, d)})" for c, d in found.columns.items() if d in (*INTEGERS, "DOUBLE")}
    for c, d in found.columns.items():
        if d == "DOUBLE":
            tests[c] += f" OR bool_and(regexp_full_match({quote(c)}, '\\s*[+-]?[0-9]+\\s*'))"
        elif d == "HUGEINT":  # Parquet knows none
            tests[c] = "bool_or(true)"
    if not tests:
        return found
    rows = f"(FROM {_raw_csv(files, found)}{f' LIMIT {limit}' if limit else ''})"
    flags = fetch_one(connection, f"SELECT {', '.join(tests.values())} FROM {rows}")
    codes = {c for c, flag in zip(tests, flags, strict=True) if flag}
    return replace(found, columns={c: "VARCHAR" if c in codes else d for c, d in found.columns.items()})


def _raw_csv(files: Sequence[Path], f: _CSVFormat) -> str:
    return (
        f"read_csv({_file_list(files)}, header = true, all_varchar = true, nullstr = '', comment = '', "
        f"skip = {f.skip}, hive_partitioning = false, "
        f"delim = {literal(f.delimiter)}, quote = {literal(f.quote)}, escape = {literal(f.escape)}"
        + (", union_by_name = true)" if len(files) > 1 else ")")
    )


def _converted(column: str, dtype: str, f: _CSVFormat, *, or_null: bool = False) -> str:
    """SQL that turns a column of texts into a type.

    Where that can't be done, or loses something, it fails (see `FolderSource.widen`), or is NULL if `or_null`.
    """
    c, attempt = quote(column), "try_" if or_null else ""
    if dtype == "VARCHAR":
        return c
    if dtype == "DATE" and f.dateformat:
        return f"CAST({attempt}strptime({c}, {literal(f.dateformat)}) AS DATE)"
    if dtype == "TIMESTAMP" and f.timestampformat:
        return f"{attempt}strptime({c}, {literal(f.timestampformat)})"
    value = f"{attempt}cast({c} AS {dtype})"
    if dtype in (*INTEGERS, "DOUBLE"):
        otherwise = "NULL" if or_null else f"error({literal(f'not all values of column {column} are numbers')})"
        return f"CASE WHEN {_is_altered(column, dtype)} THEN {otherwise} ELSE {value} END"
    return value


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
                is_partitioned = any("=" in folder for p in parts for folder in p.relative_to(entry).parts[:-1])
                tables.append(_Table(entry.name, parts, is_partitioned))
    names = [t.name.lower() for t in tables]  # SQL names differ by more than case
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SourceError(
            f"{len(twice)} table name(s) occur twice in '{path}': {', '.join(twice)}",
            hint="a table is either one file or one sub-folder, and names differ by more than upper and lower case",
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


def _file_list(files: Sequence[Path]) -> str:
    return "[" + ", ".join(literal(str(f)) for f in files) + "]"


def _is_altered(column: str, dtype: str) -> str:
    """SQL for whether a number says less than its text: DuckDB reads ``007``, ``1_000`` and ``1.5`` as integers."""
    c = quote(column)
    if dtype == "DOUBLE":
        return f"(starts_with({c}, '0') AND {c}[2] BETWEEN '0' AND '9')"
    text = f"try_cast({c} AS {dtype})::VARCHAR"
    return f"({text} <> {c} AND {text} <> trim({c}))"  # trimming only what differs is faster


def _character(value: str | None) -> str:
    """The sniffer spells an absent quote or escape character ``(empty)`` or NUL."""
    return value if value and value not in ("(empty)", "\0") else ""
