"""Keys of one column and of several: each rule with a case for and a case against."""

from __future__ import annotations

from foreknow.schema.evidence import Proposal
from foreknow.schema.infer import Inference
from foreknow.schema.profile import Declared
from foreknow.schema.table import ForeignKey
from foreknow.testing.inference import infer, links, rows


def key(found: Inference, table: str = "t") -> tuple[str, ...]:
    return found.schema[table].primary_key


def best(found: Inference, table: str = "t") -> Proposal:
    return found.of(table)[0].proposals[0]


def kinds(p: Proposal) -> set[str]:
    return {r.kind for r in p.reasons}


def test_what_is_declared_is_certain_and_still_measured() -> None:
    found = infer(declared={"t": Declared(primary_key=("code",))}, t=rows(100, "i AS id, 'c' || i % 7 AS code"))
    assert best(found).value == ("code",)
    assert best(found).confidence == 1.0
    found = infer(declared={"t": Declared(primary_key=("id",))}, t=rows(100, "i AS id"))
    assert {"declared", "unique"} <= kinds(best(found))


def test_being_referred_to_is_evidence_for_a_key() -> None:
    airports = rows(700, "printf('%c%c%c', 65 + i // 100, 65 + (i // 10) % 10, 65 + i % 10) AS faa, i / 7 AS lat")
    alone = best(infer(airports=airports), "airports")
    flights = rows(900, "printf('A%c%c', 65 + (i // 10) % 10, 65 + i % 10) AS dest, i / 3 AS x")
    named = best(infer(airports=airports, flights=flights), "airports")
    assert named.confidence > alone.confidence
    assert any("referred to by flights.dest" in r.text for r in named.reasons)


def test_generated_ids_and_padded_codes_are_keys_and_stay_text() -> None:
    found = infer(
        users=rows(300, "md5(i::VARCHAR) AS user_hash, i % 3 AS x"),
        items=rows(300, "printf('%06d', i) AS item_id, i / 7 AS x"),
    )
    assert key(found, "users") == ("user_hash",)
    assert key(found, "items") == ("item_id",)
    assert found.schema["items"]["item_id"].dtype == "VARCHAR"
    assert any("hexadecimal" in r.text for r in best(found, "users").reasons)


STINTS = rows(
    4000,
    "'p' || i // 4 AS player_id, 1990 + i // 2 % 2 AS year, i % 2 AS stint, i % 30 AS hits, "
    "'T' || i // 4 % 9 AS team_code",
)


def test_the_fewest_columns_that_are_unique_together_are_a_key() -> None:
    found = infer(t=STINTS, players=rows(1000, "'p' || i AS player_id"))
    assert key(found) == ("player_id", "year", "stint")
    assert best(found).confidence > 0.9
    assert any("unique together in all 4,000 rows" in r.text for r in best(found).reasons)


def test_one_duplicate_row_leaves_a_composite_key_with_a_warning_and_many_remove_it() -> None:
    once = infer(t=f"({STINTS}) UNION ALL SELECT 'p7', 1991, 1, 3, 'T1'", players=rows(1000, "'p' || i AS player_id"))
    assert key(once) == ("player_id", "year", "stint")
    (note,) = [n for n in once.notes if n.name == "duplicate-key" and n.table == "t"]
    assert "1 repeated (e.g. (p7, 1991, 1))" in note.message
    often = infer(t=f"({STINTS}) UNION ALL ({STINTS} LIMIT 100)", players=rows(1000, "'p' || i AS player_id"))
    assert key(often) == ()


def test_amounts_and_columns_with_gaps_are_no_parts_of_keys() -> None:
    found = infer(t=rows(900, "i // 30 AS user_id, (i % 30)::DOUBLE AS amount"), users=rows(30, "i AS user_id"))
    assert key(found) == ()
    gaps = rows(900, "i // 30 AS user_id, if(i = 5, NULL, i % 30) AS line_no")
    assert key(infer(t=gaps, users=rows(30, "i AS user_id"))) == ()
    whole = rows(900, "i // 30 AS user_id, i % 30 AS line_no")
    assert key(infer(t=whole, users=rows(30, "i AS user_id"))) == ("user_id", "line_no")


def test_events_that_happen_to_differ_have_no_key() -> None:
    """Few rows among very many possible ones are unique by chance; the same may happen again tomorrow."""
    found = infer(
        customers=rows(900, "'c' || i AS customer_id"),
        articles=rows(900, "'a' || i AS article_id"),
        sales=rows(
            1000,
            "'c' || i * 7919 % 900 AS customer_id, 'a' || i * 104729 % 887 AS article_id, "
            "DATE '2020-01-01' + (i // 9)::INTEGER AS day, i / 3 AS price",
        ),
    )
    assert key(found, "sales") == ()
    assert not [q for q in found.questions if "sales" in q.tables and q.subject == "key"]


def test_year_month_and_day_stand_together_in_a_key_even_if_there_is_one_year() -> None:
    found = infer(
        airports=rows(20, "'A' || i AS faa"),
        weather=rows(
            4000, "'A' || i % 20 AS origin, 2014 AS year, 1 + i // 20 % 10 AS month, 1 + i // 200 AS day, i / 7 AS temp"
        ),
    )
    assert key(found, "weather") == ("origin", "year", "month", "day")


def test_a_composite_key_keeps_its_columns_as_features_unless_they_link() -> None:
    found = infer(t=STINTS, players=rows(1000, "'p' || i AS player_id"))
    assert {c.name: str(c.stype) for c in found.schema["t"].columns} == {
        "player_id": "key",
        "year": "ignore",  # it is in the time column
        "stint": "categorical",
        "hits": "numerical",
        "team_code": "categorical",
        "known_at": "timestamp",
    }


TEAMS = rows(300, "2000 + i // 30 AS yearID, 'T' || i % 30 AS teamID, i % 70 AS wins")


def test_several_columns_link_to_a_composite_key_by_the_same_names_in_any_spelling() -> None:
    found = infer(
        Teams=TEAMS,
        Home=rows(900, """2000 + i % 10 AS "year.key", 'T' || i % 30 AS "team.key", i / 7 AS attendance"""),
        Finals=rows(10, "2000 + i AS yearID, 'T' || i AS teamIDwinner, 'T' || i + 1 AS teamIDloser"),
        Other=rows(900, "2000 + i % 10 AS yearID, 'X' || i % 30 AS teamID, i / 7 AS x"),
    )
    assert key(found, "Teams") == ("yearID", "teamID")
    assert links(found) == {
        "Home.year.key+team.key": "Teams.yearID+teamID",
        "Finals.yearID+teamIDwinner": "Teams.yearID+teamID",
        "Finals.yearID+teamIDloser": "Teams.yearID+teamID",
    }


def test_rows_about_the_same_parent_are_asked_about_not_linked() -> None:
    """Batting and fielding of a stint of a player: whether one belongs to the other can't be known."""
    fielding = rows(3000, "'p' || i // 4 AS player_id, 1990 + i // 2 % 2 AS year, i % 2 AS stint, i % 50 AS outs")
    found = infer(batting=STINTS, fielding=fielding, players=rows(1000, "'p' || i AS player_id"))
    assert set(links(found)) == {"batting.player_id", "fielding.player_id"}
    proposals = [r for r in found.of("fielding") if r.subject == "link" and len(r.columns) == 3]
    assert len(proposals) == 1
    assert proposals[0].best is None
    assert "can't be known" in proposals[0].proposals[0].why
    (asked,) = [q for q in found.questions if q.subject == "link"]
    assert (asked.tables, asked.taken) == (("fielding",), None)


def test_declared_composite_links_win() -> None:
    fk = ForeignKey(columns=("yearID", "teamID"), table="Teams", to=("yearID", "teamID"))
    found = infer(
        declared={"Teams": Declared(primary_key=("yearID", "teamID")), "Managers": Declared(foreign_keys=(fk,))},
        Teams=TEAMS,
        Managers=rows(400, "2000 + i % 10 AS yearID, 'T' || i % 30 AS teamID, i / 7 AS x"),
    )
    (only,) = [r for r in found.of("Managers") if r.subject == "link"]
    assert only.proposals[0].confidence == 1.0
    assert links(found) == {"Managers.yearID+teamID": "Teams.yearID+teamID"}
