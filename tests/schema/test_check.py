"""Every way a schema can fail to fit together, with what is said about it."""

import pytest

from foreknow.errors import SchemaError
from foreknow.schema.check import check_schema
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.toy import toy_schema
from foreknow.types import Stype


def table(name, columns="id", *, links=(), **more):
    made = tuple(Column(name=c, stype=Stype.TIMESTAMP if c.startswith("t_") else Stype.KEY) for c in columns.split())
    keys = tuple(ForeignKey(columns=tuple(c.split("+")), table=t, to=tuple(to)) for c, t, *to in links)
    return Table(name=name, columns=made, foreign_keys=keys, **{"primary_key": ("id",), **more})


def problems(*tables):
    with pytest.raises(SchemaError) as caught:
        check_schema(Schema({t.name: t for t in tables}))
    found = [f for f in caught.value.findings if f.severity == "error"]
    assert all(str(f) in str(caught.value) for f in found)
    return [(f.name, str(f)) for f in found]


def test_a_sound_schema_has_nothing_to_say():
    assert check_schema(toy_schema()) == []
    assert check_schema(Schema()) == []


def test_one_problem_is_told_in_one_line():
    with pytest.raises(SchemaError) as caught:
        check_schema(Schema({"a": table("a", "id", time_column="day")}))
    assert str(caught.value) == (
        "the schema doesn't fit together: table 'a': time column 'day' is not there\n  Hint: Columns: id."
    )


def test_all_problems_are_told_at_once():
    a, b = table("a", primary_key=("idd",)), table("b", links=[("x", "A")], time_column="id")
    with pytest.raises(
        SchemaError, match=r"^the schema doesn't fit together: 4 problems\.\n- table 'a': key"
    ) as caught:
        check_schema(Schema({"a": a, "b": b}))
    assert [(f.name, f.table, f.column) for f in caught.value.findings] == [
        ("unknown-column", "a", None),
        ("unknown-column", "b", None),
        ("unknown-table", "b", "x"),
        ("time-type", "b", "id"),
    ]


def test_unknown_columns_are_named_with_near_matches():
    (key,) = problems(table("a", "id", primary_key=("ID",)))
    assert key == ("unknown-column", "table 'a': key column 'ID' is not there\n  Hint: did you mean 'id'? Columns: id.")
    (candidate,) = problems(table("a", "id mail", candidate_keys=(("mial",),)))
    assert "key column 'mial' is not there\n  Hint: did you mean 'mail'?" in candidate[1]
    (link,) = problems(table("a"), table("b", "id a_id", links=[("a_di", "a")]))
    assert "table 'b': link column 'a_di' is not there\n  Hint: did you mean 'a_id'?" in link[1]
    (time,) = problems(table("a", "id t_day", time_column="t_dya"))
    assert "table 'a': time column 't_dya' is not there\n  Hint: did you mean 't_day'?" in time[1]


def test_links_go_to_tables_of_the_schema():
    (found,) = problems(table("users"), table("b", "id x", links=[("x", "user")]))
    assert found == (
        "unknown-table",
        "table 'b', column 'x': it links to 'user', which is no table of the schema\n"
        "  Hint: did you mean 'users'? Tables: b, users.",
    )


def test_links_go_to_keys():
    (no_key,) = problems(table("a", primary_key=()), table("b", "id x", links=[("x", "a")]))
    assert no_key == (
        "no-key",
        "table 'b', column 'x': it links to 'a', which has no key\n  Hint: give 'a' a key:",
    )
    (short,) = problems(table("a", "id y", primary_key=("id", "y")), table("b", "id x", links=[("x", "a")]))
    assert short[0] == "key-length"
    assert "1 column(s) link to the 2-column key (id, y) of 'a'\n  Hint: write links: [{columns: [...]" in short[1]
    (other,) = problems(table("a", "id y z", candidate_keys=(("y",),)), table("b", "id x", links=[("x", "a", "z")]))
    assert other == (
        "not-a-key",
        "table 'b', column 'x': it links to a(z), which is no key of it\n"
        "  Hint: keys of 'a': (id); (y); further ones go under keys:",
    )


def test_links_to_candidate_keys_and_composite_keys_are_fine():
    a = table("a", "id y z", primary_key=("id", "y"), candidate_keys=(("z",),))
    assert check_schema(Schema({"a": a, "b": table("b", "id p q", links=[("p+q", "a"), ("q", "a", "z")])})) == []


def test_a_link_is_not_given_twice():
    (found,) = problems(table("a"), table("b", "id x", links=[("x", "a"), ("x", "a", "id")]))
    assert found == (
        "duplicate-link",
        "table 'b', column 'x': it links to 'a' twice\n  Hint: keep one of the two links",
    )


def test_one_column_may_link_to_two_tables():
    assert (
        check_schema(
            Schema({t.name: t for t in (table("a"), table("b"), table("c", "id x", links=[("x", "a"), ("x", "b")]))})
        )
        == []
    )


def test_edges_join_exactly_two_tables_and_are_linked_to_by_none():
    (one,) = problems(table("a"), table("e", "id x", kind="edge", links=[("x", "a")]))
    assert one == (
        "edge-table",
        "table 'e': rows that are edges link exactly two tables, this one has 1 links\n  Hint: make it kind: node",
    )
    a, e = table("a"), table("e", "id x y", kind="edge", links=[("x", "a"), ("y", "a")])
    (into,) = problems(a, e, table("b", "id e_id", links=[("e_id", "e")]))
    assert into[0] == "link-to-edge"
    assert "table 'b', column 'e_id': it links to 'e', whose rows are edges\n  Hint: make it kind: node" in into[1]


def test_the_time_column_is_a_timestamp():
    (found,) = problems(table("a", time_column="id"))
    assert found == ("time-type", "table 'a', column 'id': the time column is key, not timestamp")
    assert check_schema(Schema({"a": table("a", "id t_day", time_column="t_day")})) == []


def test_two_columns_of_one_name_are_too_many():
    assert problems(table("a", "id x x")) == [("duplicate-column", "table 'a': two columns have the same name")]


def test_tables_nothing_links_are_warned_about():
    tables = [
        table("a"),
        table("b", "id x", links=[("x", "a")]),
        table("d"),
        table("c", "id x", links=[("x", "d")]),
        table("e"),
    ]
    first, second = check_schema(Schema({t.name: t for t in tables}))
    assert str(first) == (
        "table 'c': no link connects c, d with the other tables; a model can't see across\n"
        "  Hint: add the missing link, or leave the tables out"
    )
    assert (first.name, first.severity, first.count) == ("disconnected-tables", "warning", 2)
    assert second.table == "e"
