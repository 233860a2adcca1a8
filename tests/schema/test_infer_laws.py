"""Laws of inference that hold whatever the data: what may change a proposal, and what must not."""

from __future__ import annotations

from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknow.schema.infer import Inference
from foreknow.testing.inference import infer, rows

SLOW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])

USERS = rows(120, "'u' || i AS user_ref, 1990 + i % 20 AS year_born, if(i % 3 = 0, 'NA', 'x' || i % 7) AS region")
EVENTS = rows(
    900,
    "'u' || i * 7 % 120 AS user_ref, 2015 + i % 6 AS year, 1 + i % 12 AS month, i % 5 AS kind, printf('%.2f', i / 7) "
    "AS price, DATE '2020-01-01' + (i // 3)::INTEGER AS created_at",
)


def shuffled(select: str, seed: int) -> str:
    return f"SELECT * FROM ({select}) ORDER BY hash({seed}, COLUMNS(*))"


def believed(found: Inference, *, reasons: bool = True) -> Any:
    """All proposals without what the order of rows tells; with their reasons, or only their order."""
    told = []
    for r in found.rankings:
        proposals = [
            (p.value, tuple(x for x in p.reasons if x.kind != "order") if reasons else None) for p in r.proposals
        ]
        told.append((r.subject, r.table, r.columns, sorted(proposals, key=str)))
    return told


@SLOW
@given(seed=st.integers(0, 1 << 30))
def test_the_order_of_rows_changes_nothing_but_the_evidence_of_order(seed: int) -> None:
    a = infer(users=USERS, events=EVENTS)
    b = infer(users=shuffled(USERS, seed), events=shuffled(EVENTS, seed))
    assert believed(a) == believed(b)
    assert a.schema == b.schema
    assert [q.to_dict()["text"] for q in a.questions] == [q.to_dict()["text"] for q in b.questions]


def test_a_large_table_is_sampled_by_content_not_by_place() -> None:
    """Shapes are read off a sample; of 60,000 rows the same ones whatever their order."""
    many = rows(60_000, "i AS id, if(i % 1000 = 7, 'n/a', 'code' || i % 300) AS c, md5(i::VARCHAR) AS h")
    assert believed(infer(t=many)) == believed(infer(t=shuffled(many, 3)))


@SLOW
@given(names=st.permutations(["zeta", "alpha", "mid"]))
def test_the_names_and_order_of_tables_decide_nothing_if_names_say_nothing(names: list[str]) -> None:
    """Linked by values alone: whatever the tables are called, and in whichever order they come."""
    codes = rows(200, "printf('k%03d', i) AS code_a, i / 7 AS x")
    other = rows(50, "printf('%04x', i * 7919 % 65536) AS hue, i / 3 AS y")
    facts = rows(900, "printf('k%03d', i % 200) AS pointer, i / 3 AS amount")
    found = infer(**dict(zip(names, (codes, other, facts), strict=True)))
    first, _, third = names
    assert {(t.name, k.columns, k.table) for t in found.schema for k in t.foreign_keys} == {
        (third, ("pointer",), first)
    }
    assert {t.name: t.primary_key for t in found.schema}[first] == ("code_a",)


@SLOW
@given(row=st.integers(0, 119), copies=st.integers(1, 3))
def test_a_repeated_row_removes_a_key(row: int, copies: int) -> None:
    assert infer(users=USERS).schema["users"].primary_key == ("user_ref",)
    again = f"SELECT * FROM ({USERS}) WHERE user_ref = 'u{row}'"
    union = " UNION ALL ".join([f"({USERS})"] + [f"({again})"] * copies)
    found = infer(users=union)
    assert found.schema["users"].primary_key == ()
    for r in found.of("users"):
        for p in r.proposals if r.subject == "key" else ():
            assert p.value != ("user_ref",) or p.confidence < 0.5


@SLOW
@given(missing=st.integers(0, 900))
def test_the_more_values_dangle_the_less_a_link_is_believed(missing: int) -> None:
    def confidence(n: int) -> float:
        select = f"SELECT * REPLACE (if(row_number() OVER () <= {n}, 'gone', user_ref) AS user_ref) FROM ({EVENTS})"
        found = infer(users=USERS, events=select)
        return max((r.proposals[0].confidence for r in found.of("events") if r.subject == "link"), default=0.0)

    assert confidence(missing) <= confidence(0)
    assert confidence(900) == 0.0


@SLOW
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-5, 5)),
            st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=32)),
            st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["NA", "007", "2020-01-01", "1/2/2020", "dead"])),
            st.one_of(st.none(), st.dates()),
            st.one_of(st.none(), st.booleans()),
        ),
        max_size=40,
    )
)
def test_any_table_gets_a_schema_that_fits_together_and_a_reason_for_every_column(data: list[tuple[Any, ...]]) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (year INTEGER, x DOUBLE, event_date VARCHAR, d DATE, b BOOLEAN)")
        if data:
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", data)
        values = connection.sql("SELECT * FROM t").fetchall()
        columns = [(d[0], d[1]) for d in connection.sql("DESCRIBE t").fetchall()]
    parts = [
        "SELECT " + ", ".join(f"{literal(v)}::{d} AS {n}" for v, (n, d) in zip(row, columns, strict=True))
        for row in values
    ] or ["SELECT " + ", ".join(f"NULL::{d} AS {n}" for n, d in columns) + " LIMIT 0"]
    found = infer(t=" UNION ALL ".join(parts))
    assert {c.name for c in found.schema["t"].columns} >= {n for n, _ in columns}
    assert all(("t", c.name) in found.reasons for c in found.schema["t"].columns)
    for ranking in found.rankings:
        assert all(0.0 <= p.confidence <= 1.0 for p in ranking.proposals)
        assert [p.log_odds for p in ranking.proposals] == sorted((p.log_odds for p in ranking.proposals), reverse=True)


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    text = str(value).replace("'", "''").replace("\x00", "")
    return f"'{text}'"
