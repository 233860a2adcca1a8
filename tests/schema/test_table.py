import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.errors import SchemaError
from foreknow.schema.table import Column, EdgeType, ForeignKey, Schema, Table
from foreknow.testing.toy import toy_schema
from foreknow.types import Stype


def node(name, *links, kind="node"):
    """A table that links to others by columns of their names."""
    columns = tuple(Column(name=c, stype=Stype.KEY) for c in ("id", *dict.fromkeys(links)))
    keys = tuple(ForeignKey(columns=(t,), table=t) for t in links)
    return Table(name=name, columns=columns, primary_key=("id",), foreign_keys=keys, kind=kind)


def schema(*tables):
    return Schema({t.name: t for t in tables})


# --- looking things up --------------------------------------------------------------------------------------


def test_columns_are_found_by_name():
    customers = toy_schema()["customers"]
    assert customers["age"].stype is Stype.NUMERICAL
    assert "age" in customers
    assert "Age" not in customers
    assert customers.column_names == ("customer_id", "created_at", "age", "tier", "referred_by")


def test_a_misspelt_name_is_answered_with_a_near_match():
    with pytest.raises(
        SchemaError, match="table 'customers' has no column 'agee'\nHint: did you mean 'age'\\? Columns: "
    ):
        toy_schema()["customers"]["agee"]
    with pytest.raises(
        SchemaError, match="there is no table 'Customer'\nHint: did you mean 'customers'\\? Tables: art"
    ):
        toy_schema()["Customer"]


def test_features_are_neither_keys_nor_ignored_nor_the_time_column():
    assert [c.name for c in toy_schema()["customers"].features] == ["age", "tier"]
    ignored = toy_schema().with_stype("customers", "age", Stype.IGNORE)
    assert [c.name for c in ignored["customers"].features] == ["tier"]


def test_a_second_timestamp_is_a_feature():
    t = Table(
        name="t",
        columns=(Column(name="a", stype=Stype.TIMESTAMP), Column(name="b", stype=Stype.TIMESTAMP)),
        time_column="a",
    )
    assert [c.name for c in t.features] == ["b"]


def test_keys_are_the_primary_one_and_the_candidates():
    t = Table(name="t", columns=(), primary_key=("a",), candidate_keys=(("b", "c"),))
    assert t.keys == (("a",), ("b", "c"))
    assert Table(name="t", columns=(), candidate_keys=(("b",),)).keys == (("b",),)


def test_links_are_typed_edges():
    assert toy_schema().edge_types == (
        EdgeType("customers", "f2p_referred_by", "customers"),
        EdgeType("transactions", "f2p_customer_id", "customers"),
        EdgeType("transactions", "f2p_article_id", "articles"),
    )
    key = ForeignKey(columns=("year", "team"), table="teams")
    assert key.name == "year+team"
    assert node("games").edge_type(key) == ("games", "f2p_year+team", "teams")


def test_a_link_points_to_the_primary_key_unless_it_names_another():
    s = schema(node("a"))
    assert s.key_of(ForeignKey(columns=("x",), table="a")) == ("id",)
    assert s.key_of(ForeignKey(columns=("x",), table="a", to=("mail",))) == ("mail",)


# --- changing -----------------------------------------------------------------------------------------------


def test_a_changed_schema_is_a_copy():
    old = toy_schema()
    new = old.with_stype("customers", "tier", Stype.TEXT)
    assert (old["customers"]["tier"].stype, new["customers"]["tier"].stype) == (Stype.CATEGORICAL, Stype.TEXT)
    assert new["transactions"] is old["transactions"]
    assert list(new.tables) == list(old.tables)
    with pytest.raises(SchemaError, match="has no column 'teir'\nHint: did you mean 'tier'"):
        old.with_stype("customers", "teir", Stype.TEXT)


def test_tables_can_be_exchanged_and_added():
    s = schema(node("a"), node("b")).replace(**{"b": node("b", "a"), "odd name": node("odd name")})
    assert list(s.tables) == ["a", "b", "odd name"]
    assert (len(s), "b" in s, "c" in s) == (3, True, False)
    assert s["b"].foreign_keys[0].table == "a"


NAMES = st.text(min_size=1, max_size=8)


@st.composite
def tables(draw):
    columns = tuple(
        Column(name=n, stype=draw(st.sampled_from(Stype)), dtype=draw(NAMES), sql=draw(st.none() | NAMES))
        for n in draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    )
    some = st.lists(st.sampled_from([c.name for c in columns]), min_size=1, max_size=2).map(tuple)
    links = st.builds(ForeignKey, columns=some, table=NAMES, to=st.just(()) | some)
    return Table(
        name=draw(NAMES),
        columns=columns,
        primary_key=draw(st.just(()) | some),
        candidate_keys=tuple(draw(st.lists(some, max_size=2))),
        foreign_keys=tuple(draw(st.lists(links, max_size=2))),
        time_column=draw(st.none() | st.sampled_from([c.name for c in columns])),
        kind=draw(st.sampled_from(["node", "edge"])),
    )


@given(st.lists(tables(), max_size=3))
def test_a_schema_survives_json(made):
    s = schema(*made)
    restored = Schema.from_dict(json.loads(json.dumps(s.to_dict())))
    assert restored == s
    assert list(restored.tables) == list(s.tables)


def test_only_derived_columns_carry_sql():
    assert "sql" not in Column(name="a", stype=Stype.TEXT).to_dict()
    assert Column(name="a", stype=Stype.TEXT, sql="1").to_dict()["sql"] == "1"


# --- how tables hang together -------------------------------------------------------------------------------

CHAIN = schema(node("a"), node("b", "a"), node("c", "b"), node("d", "c"), node("alone"))


def test_neighbours_are_joined_by_a_link_in_either_direction():
    assert CHAIN.neighbours() == {"a": {"b"}, "b": {"a", "c"}, "c": {"b", "d"}, "d": {"c"}, "alone": set()}


def test_an_edge_table_joins_its_two_targets():
    s = schema(node("users"), node("groups"), node("member", "users", "groups", kind="edge"))
    assert s.neighbours() == {"users": {"groups"}, "groups": {"users"}}
    assert s.components() == [{"users", "groups"}]


def test_a_table_is_no_neighbour_of_itself_and_links_into_nowhere_count_for_nothing():
    assert schema(node("a", "a"), node("b", "gone")).neighbours() == {"a": set(), "b": set()}


def test_components_are_listed_largest_first():
    assert CHAIN.components() == [{"a", "b", "c", "d"}, {"alone"}]
    assert Schema().components() == []


def test_distances_are_counted_in_links():
    assert [CHAIN.eccentricity(t) for t in ("a", "b", "alone")] == [3, 2, 0]
    assert CHAIN.diameter() == 3
    assert toy_schema().diameter() == 2
    assert Schema().diameter() == 0


def test_circles_end():
    assert schema(node("a", "b"), node("b", "c"), node("c", "a")).diameter() == 1
