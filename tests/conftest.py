"""The toy shop as files, staged and as a graph, and short ways to stage any tables."""

import itertools

import duckdb
import pytest
from hypothesis import HealthCheck, settings

from foreknow.graph.build import build_graph
from foreknow.source.snapshot import open_source, stage
from foreknow.testing.toy import PROJECT, toy_schema, write_toy

# A busy machine fails no test: nothing here is judged by the clock. The same examples in every run.
settings.register_profile(
    "foreknow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("foreknow")


def write_project(folder):
    write_toy(folder / "toy.duckdb")
    (folder / "foreknow.yaml").write_text(PROJECT)
    return folder


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory):
    """The toy project. Read only."""
    return write_project(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy(tmp_path):
    """A toy project of one's own, to be changed."""
    folder = tmp_path / "toy"
    folder.mkdir()
    return write_project(folder)


@pytest.fixture(scope="session")
def toy_snapshot(toy_folder, tmp_path_factory):
    return stage(open_source(str(toy_folder / "toy.duckdb")), tmp_path_factory.mktemp("toy_home"))


@pytest.fixture(scope="session")
def toy_store(toy_snapshot, tmp_path_factory):
    return build_graph(toy_snapshot, toy_schema(), tmp_path_factory.mktemp("toy_graph"))


@pytest.fixture
def write_duckdb(tmp_path):
    """Run SQL in a new DuckDB file and return its path."""
    numbers = itertools.count()

    def write(sql):
        path = tmp_path / f"{next(numbers)}.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql)
        return path

    return write


@pytest.fixture
def stage_sql(write_duckdb, tmp_path):
    """Stage the tables that SQL makes in a new DuckDB file."""

    def run(sql, **options):
        return stage(open_source(str(write_duckdb(sql))), tmp_path / "home", **options)

    return run
