"""Data people know: nothing is found in the shop and the flights, and a leak planted into them is."""

import pytest
import yaml

import foreknow as fk
from foreknow.demo import hm
from foreknow.demo.hm import Size
from foreknow.demo.projects import flights_folder, hm_project


def told(report):
    return [(f.severity, f.name, f.table, f.column) for f in report.findings if f.severity != "info"]


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    """The flights' project, its workspace kept out of the examples."""
    home = tmp_path_factory.mktemp("home")

    def audit(**changes):
        file = home / "foreknow.yaml"
        project = yaml.safe_load((flights_folder() / "foreknow.yaml").read_text())
        project["source"] = str(flights_folder())
        project["tasks"]["flight_late"] |= changes
        file.write_text(yaml.safe_dump(project))
        return fk.audit(fk.open(file, home=home).task("flight_late"))

    return audit


def test_nothing_is_found_in_the_flights_whose_delay_is_hidden_until_they_land(flights):
    assert told(flights()) == []


def test_a_delay_said_to_be_known_before_the_flight_is_a_copy_of_the_label(flights):
    known = ["carrier", "origin", "dest", "arr_delay"]
    assert told(flights(known=known)) == [("error", "label-copy", "flights", "arr_delay")]


def test_nothing_is_found_in_the_shop(tmp_path):
    size = Size(customers=3000, articles=300, transactions=120_000, departments=20)
    hm.generate(tmp_path / "hm.duckdb", size=size)
    (tmp_path / "foreknow.yaml").write_text(hm_project())
    assert told(fk.audit(fk.open(tmp_path).task("Churn"))) == []
