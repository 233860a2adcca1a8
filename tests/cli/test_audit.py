"""``foreknow audit``: a table for people, JSON for programs, and an exit status for both."""

import duckdb
import pytest
import yaml

from foreknow.testing.market_project import write_market

FAR = 'UPDATE visits SET "at" = TIMESTAMP \'9999-12-31\' WHERE hash("at") % 10 = 0;'


@pytest.fixture
def market(tmp_path, monkeypatch):
    folder = write_market(tmp_path / "market")
    monkeypatch.chdir(folder)
    return folder


def change(market, sql):
    with duckdb.connect(str(market / "market.duckdb")) as connection:
        connection.execute(sql)


def test_a_clean_task(foreknow, market, narrow):
    done = foreknow("audit", "Buys")
    assert done.status == 0
    assert "Buys: no leak found" in done.out
    assert "always-visible" in done.out


def test_a_warning_is_told_with_a_remedy_and_stops_nothing(foreknow, market):
    change(market, FAR)
    done = foreknow("audit", "Buys")
    assert done.status == 0
    assert "Buys: 1 warning" in done.out
    assert "table 'visits', column 'at'" in done.err
    assert "Hint: mend the dates" in done.err


def test_as_json_and_allowed(foreknow, market):
    change(market, FAR)
    found = foreknow("audit", "Buys", "--json").json
    finding = found["findings"][0]
    assert (finding["name"], finding["severity"], finding["table"], finding["column"]) == (
        "future-dates",
        "warning",
        "visits",
        "at",
    )
    assert finding["count"] > 0
    allowed = foreknow("audit", "Buys", "--json", "--allow", "future-dates:visits").json
    assert [f["name"] for f in allowed["allowed"]] == ["future-dates"]
    assert {f["severity"] for f in allowed["findings"]} == {"info"}


def test_errors_end_in_status_2_with_the_findings_on_stdout(foreknow, market):
    project = yaml.safe_load((market / "foreknow.yaml").read_text())
    tables = project["tasks"]["Buys"]["tables"]
    tables["validation"] = tables["train"]
    (market / "foreknow.yaml").write_text(yaml.safe_dump(project))
    done = foreknow("audit", "Buys", "--json")
    assert done.status == 2
    assert "shared-rows" in {f["name"] for f in done.json["findings"] if f["severity"] == "error"}
    assert foreknow("audit", "Buys").status == 2
    assert foreknow("train", "Buys").status == 2


def test_a_misspelt_finding(foreknow, market):
    done = foreknow("audit", "Buys", "--allow", "late-row")
    assert done.status == 2
    assert "did you mean 'late-rows'?" in done.err
