import hashlib
import itertools

import duckdb
import pytest
import yaml

from foreknow.graph.build import build_graph
from foreknow.project import ProjectFile, build_schema, derived_columns
from foreknow.source.snapshot import Snapshot, StagedTable
from foreknow.source.sql import fetch_all, fetch_one, literal, quote


@pytest.fixture(scope="session")
def connection():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture
def build(connection, tmp_path):
    """Build the graph of the tables SQL makes, under what stands below ``tables:`` in a project file.

    Columns not mentioned are ignored. Tables go straight to Parquet, which is faster than a DuckDB file and staging.
    """
    numbers = itertools.count()

    def stage(name, sql):
        path = tmp_path / f"{next(numbers)}.parquet"
        connection.execute(f"COPY {quote(name)} TO {literal(str(path))} (FORMAT parquet)")
        relation = f"read_parquet({literal(str(path))})"
        return StagedTable(
            name=name,
            path=path,
            num_rows=fetch_one(connection, f"SELECT count(*) FROM {relation}")[0],
            columns={r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE FROM {relation}")},
            fingerprint=hashlib.sha256(sql.encode()).hexdigest()[:16],
        )

    def run(sql, tables, **options):
        files = ProjectFile(source="x", tables=yaml.safe_load(tables)).tables
        connection.execute("BEGIN")
        try:
            connection.execute(sql)
            staged = {name: stage(name, sql) for name in files}
        finally:
            connection.execute("ROLLBACK")
        schema = build_schema(files, {name: t.columns for name, t in staged.items()}, {})
        return build_graph(Snapshot(uri="x", tables=staged), schema, tmp_path / "home", **options)

    return run


@pytest.fixture
def build_from_file(stage_sql, tmp_path):
    """The same by way of a DuckDB file and staging, as users do it."""

    def run(sql, tables, **options):
        files = ProjectFile(source="x", tables=yaml.safe_load(tables)).tables
        snapshot = stage_sql(sql, tables=list(files), derived=derived_columns(files))
        schema = build_schema(files, {name: t.columns for name, t in snapshot.tables.items()}, {})
        return build_graph(snapshot, schema, tmp_path / "home", **options)

    return run
