"""A market large enough to be judged, into which leaks are planted with SQL."""

import shutil

import duckdb
import pytest
import yaml

import foreknow as fk
from foreknow.testing.market import market_tables
from foreknow.testing.market_project import write_market


@pytest.fixture(scope="session")
def clean_market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("clean"), market_tables(num_customers=2000))


@pytest.fixture
def audit(clean_market, tmp_path):
    """Audit a task of the market after SQL has changed its tables, and updates its project file."""

    def run(sql="", *, task="Buys", tables=None, splits=None, allow=(), **changes):
        folder = tmp_path / f"market{len(list(tmp_path.iterdir()))}"
        shutil.copytree(clean_market, folder)
        with duckdb.connect(str(folder / "market.duckdb")) as connection:
            connection.execute(sql)
        project = yaml.safe_load((folder / "foreknow.yaml").read_text())
        for name, update in (tables or {}).items():
            old = project["tables"].setdefault(name, {})
            project["tables"][name] = {**old, **update, "columns": old.get("columns", {}) | update.get("columns", {})}
        project["tasks"][task] |= changes | ({"tables": splits} if splits else {})
        (folder / "foreknow.yaml").write_text(yaml.safe_dump(project))
        return fk.audit(fk.open(folder).task(task), allow=allow)

    return run


@pytest.fixture
def find(audit):
    """What is found above severity info: (severity, name, table, column)."""

    def run(*args, **options):
        return told(audit(*args, **options))

    return run


def told(report):
    return {(f.severity, f.name, f.table, f.column) for f in report.findings if f.severity != "info"}
