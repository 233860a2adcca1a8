"""The toy database and the market as stores, built once."""

import pytest

from foreknow.graph.build import build_graph
from foreknow.graph.encode import fit_encoding
from foreknow.source.snapshot import open_source, stage
from foreknow.testing.market import START, build_market
from foreknow.testing.toy import toy_schema, write_toy
from foreknow.types import DAY_S


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return build_graph(stage(open_source(str(write_toy(folder / "toy.duckdb"))), folder), toy_schema(), folder)


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def encoding(market):
    return fit_encoding(market, START + 300 * DAY_S)
