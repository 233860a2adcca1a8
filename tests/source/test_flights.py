"""The flights of the examples, as they come: right without editing, and what is dirty is told."""

from __future__ import annotations

from pathlib import Path

from foreknow.database import open_database

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


def test_the_flights_of_the_examples_are_understood_without_editing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for file in FLIGHTS.glob("*.csv.gz"):
        (data / file.name).symlink_to(file)
    found = open_database(data, home=tmp_path / "home").inspect()
    schema = found.schema
    assert {t.name: t.primary_key for t in schema} == {
        "airlines": ("carrier",),
        "airports": ("faa",),
        "flights": ("year", "month", "day", "carrier", "flight", "origin"),
        "planes": ("tailnum",),
        "weather": ("origin", "year", "month", "day", "hour"),
    }
    assert {(t.name, k.name): k.table for t in schema for k in t.foreign_keys} == {
        ("flights", "carrier"): "airlines",
        ("flights", "tailnum"): "planes",
        ("flights", "origin"): "airports",
        ("flights", "dest"): "airports",
        ("weather", "origin"): "airports",
    }
    assert schema["flights"]["known_at"].sql == "make_date(year, month, day) + INTERVAL 1 DAY"
    assert (schema["flights"].time_column, schema["weather"].time_column) == ("known_at", "date")
    assert schema["planes"].time_column is None
    assert found.questions == ()
    told = {(n.name, n.table, n.column): n.count for n in found.notes if n.severity == "warning"}
    assert told[("duplicate-key", "airports", "faa")] == 1
    assert told[("dangling-links", "flights", "tailnum")] == 8678
    assert ("time-zones", "weather", "date") in told
