"""The market as a store, with encodings fitted on its first 300 days."""

import pytest

from foreknow.graph.encode import fit_encoding
from foreknow.testing.market import START, build_market
from foreknow.types import DAY_S


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def encoding(market):
    return fit_encoding(market, START + 300 * DAY_S)
