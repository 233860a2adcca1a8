"""Inference over a folder of files with the dirt of real ones: what is kept, what is found, what is said of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from foreknow.database import Database, Inspection, open_database
from foreknow.errors import Finding
from foreknow.source.sql import fetch_all

TEAMS = ["NA", "AL", "NL"]


def write_dirt(folder: Path) -> Path:
    """A club's exports: padded codes, generated ids, NA as a league, a duplicated key, dangling links, odd times."""
    folder.mkdir()
    members = ["member_no,device,league,joined,zip,born_year,visits,mail"]
    for i in range(1500):
        joined = f"{i % 27 + 1:02d}/{i % 12 + 1:02d}/2019" if i % 4 == 0 else f"2019-{i % 12 + 1:02d}-{i % 27 + 1:02d}"
        born = 0 if i % 60 == 0 else 1950 + i % 50
        members.append(
            f"{i:06d},{i * 2654435761 % 2**32:08x},{TEAMS[i % 3]},{joined},{i % 40:05d},{born},{i % 9},m{i}@x.org"
        )
    members.append("000007,00000bad,NA,2019-01-01,00000,1950,0,m7@y.org")  # a second number 000007
    (folder / "members.csv").write_text("\n".join(members) + "\n")
    visits = ["visited_at,member_no,club,fee,valid_to,year,month,day"]
    for i in range(3000):
        member = f"{i * 7 % 1520:06d}"  # 20 of the numbers are unknown
        until = "9999-12-31" if i % 3 else "2021-06-30"
        stamp = "0001-01-01 00:00:00" if i == 5 else f"2020-{i % 12 + 1:02d}-{i % 28 + 1:02d} {i % 24:02d}:00:00"
        visits.append(f"{stamp},{member},K{i % 5},{i % 900 / 100:.2f},{until},2020,{i % 12 + 1},{i % 28 + 1}")
    with gzip.open(folder / "visits.csv.gz", "wt") as file:
        file.write("\n".join(visits) + "\n")
    clubs = ["club_code;name;opened", *(f"K{i};Club {i};{2000 + i}" for i in range(5))]
    (folder / "clubs.csv").write_text("\n".join(clubs) + "\n")
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    folder = tmp_path_factory.mktemp("dirt")
    return open_database(write_dirt(folder / "export"), home=folder / "home")


@pytest.fixture(scope="module")
def found(database: Database) -> Inspection:
    return database.inspect()


@pytest.fixture(scope="module")
def note(found: Inspection) -> Callable[[str, str, str | None], Finding]:
    def pick(name: str, table: str, column: str | None) -> Finding:
        (one,) = [n for n in found.notes if (n.name, n.table, n.column) == (name, table, column)]
        return one

    return pick


def test_zeros_and_hexadecimal_digits_are_kept(found: Inspection, database: Database) -> None:
    members = found.schema["members"]
    assert [members[c].dtype for c in ("member_no", "device", "zip")] == ["VARCHAR"] * 3
    assert (str(members["zip"].stype), str(members["device"].stype)) == ("categorical", "ignore")
    with database.snapshot.connect() as connection:
        (first, *_) = fetch_all(connection, "SELECT member_no, zip FROM members ORDER BY ALL")
        codes = fetch_all(connection, "SELECT count(*) FROM members WHERE league = 'NA'")
    assert first == ("000000", "00000")
    assert codes == [(501,)], "NA is a league"


def test_a_key_that_occurs_twice_is_still_the_key_and_told(found: Inspection, note: Callable[..., Finding]) -> None:
    assert found.schema["members"].primary_key == ("member_no",)
    said = note("duplicate-key", "members", "member_no")
    assert (said.severity, said.count) == ("warning", 1)
    assert "1 value occurs twice (e.g. 000007)" in said.message


def test_links_that_lead_nowhere_are_counted(found: Inspection, note: Callable[..., Finding]) -> None:
    assert {k.name: k.table for k in found.schema["visits"].foreign_keys} == {"member_no": "members", "club": "clubs"}
    said = note("dangling-links", "visits", "member_no")
    assert said.count == 38
    assert "38 of 3,000 values (1.27%) have no row in 'members'" in said.message


def test_odd_times_are_found(found: Inspection, note: Callable[..., Finding]) -> None:
    assert found.schema["visits"].time_column == "visited_at"
    assert note("strange-times", "visits", "visited_at").count == 1
    assert note("strange-times", "visits", "valid_to").count == 2000
    assert "9999-12-31" in note("strange-times", "visits", "valid_to").message


def test_mixed_dates_become_the_time_they_mean(
    found: Inspection, database: Database, note: Callable[..., Finding]
) -> None:
    said = note("mixed-dates", "members", "joined")
    assert "YYYY-MM-DD, DD/MM/YYYY" in said.message
    assert found.schema["members"].time_column == "known_at"
    with database.snapshot.connect() as connection:
        (row,) = fetch_all(connection, "SELECT count(known_at), min(known_at), max(known_at) FROM members")
    assert (row[0], str(row[1]), str(row[2])) == (1501, "2019-01-01 00:00:00", "2019-12-27 00:00:00")


def test_years_are_no_amounts_and_zero_is_no_year(found: Inspection, note: Callable[..., Finding]) -> None:
    assert str(found.schema["members"]["born_year"].stype) == "categorical"
    assert "(0 ... 1999)" in note("strange-years", "members", "born_year").message


def test_na_is_mentioned(note: Callable[..., Finding]) -> None:
    assert "(e.g. 'NA'); they are kept as values" in note("maybe-missing", "members", "league").message


def test_the_same_folder_is_understood_the_same_way_twice(database: Database, tmp_path: Path) -> None:
    again = open_database(Path(database.source.uri), home=tmp_path)
    first, second = database.inspect().inference, again.inspect().inference
    assert first is not None
    assert second is not None
    assert first.to_dict() == second.to_dict()
