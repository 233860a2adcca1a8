"""Plans are worked out by hand for small schemas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.errors import SamplingError
from foreknow.sample.plan import MAX_SETS, make_plan
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.strategies import plans, schemas
from foreknow.testing.toy import toy_schema
from foreknow.types import Stype

pytestmark = pytest.mark.filterwarnings("error")


def schema_of(**links):
    """Tables by name with the tables each links to; a name that begins with ``e_`` is a table of edges."""
    tables = {}
    for name, targets in links.items():
        columns = ("id", *(f"k{i}" for i in range(len(targets))))
        tables[name] = Table(
            name=name,
            columns=tuple(Column(name=c, stype=Stype.KEY) for c in columns),
            primary_key=("id",),
            foreign_keys=tuple(ForeignKey(columns=(f"k{i}",), table=t) for i, t in enumerate(targets)),
            kind="edge" if name.startswith("e_") else "node",
        )
    return Schema(tables)


def drawing(plan):
    """One line per set: where it hangs, how it was reached, and how far."""
    return [f"{s.source}: {s.kind} {s.table}" + (f" by {s.edge}" if s.edge >= 0 else "") for s in plan.sets]


def test_two_hops_from_the_customers_of_the_toy_shop():
    """Keys: 0 customers.referred_by, 1 transactions.customer_id, 2 transactions.article_id."""
    plan = make_plan(toy_schema(), "customers", [4, 3])
    assert drawing(plan) == [
        "-1: seeds customers",
        "0: parents customers by 0",  # who referred the customer
        "0: children customers by 0",  # whom the customer referred
        "0: children transactions by 1",
        "1: parents customers by 0",  # the referrer's referrer
        "1: children customers by 0",  # all the referrer referred
        "1: children transactions by 1",
        "2: children customers by 0",  # not the parent again: it is the seed
        "2: children transactions by 1",
        "3: parents articles by 2",  # not the customer again
    ]
    assert [s.index for s in plan.sets] == list(range(10))
    assert [s.depth for s in plan.sets] == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert [s.fan_out for s in plan.sets] == [0, 0, 4, 4, 0, 3, 3, 3, 3, 0]
    assert [s.back for s in plan.sets] == [False, False, True, True, False, True, True, True, True, False]
    assert [s.is_leaf for s in plan.sets] == [False] * 4 + [True] * 6
    assert plan.num_hops == 2
    assert [s.index for s in plan.hanging_from(1)] == [4, 5, 6]


def test_a_chain_is_walked_to_its_end():
    schema = schema_of(a=[], b=["a"], c=["b"])
    assert drawing(make_plan(schema, "a", [-1, -1, -1])) == ["-1: seeds a", "0: children b by 0", "1: children c by 1"]
    assert drawing(make_plan(schema, "c", [1, 1])) == [
        "-1: seeds c",
        "0: parents b by 1",
        "1: parents a by 0",
        "1: children c by 1",
    ]


def test_only_the_very_key_a_child_was_reached_by_is_left_out():
    plan = make_plan(schema_of(teams=[], matches=["teams", "teams"]), "teams", [2, 2])
    assert drawing(plan) == [
        "-1: seeds teams",
        "0: children matches by 0",
        "0: children matches by 1",
        "1: parents teams by 1",  # the opponent
        "2: parents teams by 0",
    ]


def test_edges_lead_to_their_other_end_within_one_hop():
    plan = make_plan(schema_of(users=[], e_follows=["users", "users"]), "users", [5, 2])
    assert drawing(plan)[:5] == [
        "-1: seeds users",
        "0: edges e_follows by 0",
        "1: parents users by 1",
        "0: edges e_follows by 1",
        "3: parents users by 0",
    ]
    assert [s.depth for s in plan.sets[:5]] == [0, 1, 1, 1, 1]
    assert [s.fan_out for s in plan.sets[:5]] == [0, 5, 0, 5, 0]
    assert not any(s.is_leaf or s.back for s in plan.sets if s.kind == "edges")
    assert {s.source for s in plan.sets if s.depth == 2 and s.kind == "edges"} == {2, 4}


def test_edges_as_seeds_see_both_ends():
    plan = make_plan(schema_of(users=[], e_follows=["users", "users"]), "e_follows", [1])
    assert drawing(plan) == ["-1: seeds e_follows", "0: parents users by 0", "0: parents users by 1"]


def test_a_table_without_links_is_a_plan_of_seeds():
    plan = make_plan(schema_of(a=[]), "a", [3, 3])
    assert drawing(plan) == ["-1: seeds a"]
    assert plan.sets[0].is_leaf


@pytest.mark.parametrize("fan_outs", [[], [0], [3, 0], [-2]])
def test_fan_outs_that_make_no_sense_are_refused(fan_outs):
    with pytest.raises(SamplingError) as e:
        make_plan(toy_schema(), "customers", fan_outs)
    assert str(e.value) == (
        f"num_neighbors is {fan_outs}: one positive number (or -1 for all) per hop is needed\nHint: e.g. [128, 64]"
    )


def test_a_plan_that_explodes_is_refused():
    with pytest.raises(SamplingError) as e:
        make_plan(schema_of(a=["a", "a", "a"]), "a", [1] * 5)
    assert str(e.value) == (
        f"5 hops from 'a' reach more than {MAX_SETS} sets of rows\n"
        "Hint: use fewer hops (num_neighbors), or leave tables out that don't matter"
    )


@given(schema=schemas(), fan_outs=plans(), data=st.data())
def test_every_set_hangs_together(schema, fan_outs, data):
    entity = data.draw(st.sampled_from(list(schema.tables)))
    try:
        plan = make_plan(schema, entity, fan_outs)
    except SamplingError:
        return
    keys = [(t.name, k) for t in schema for k in t.foreign_keys]
    assert plan.sets[0].table == entity
    assert plan.edge_types == schema.edge_types
    for s in plan.sets[1:]:
        source = plan.sets[s.source]
        child, key = keys[s.edge]
        ends = (key.table, child) if s.kind != "parents" else (child, key.table)
        assert (source.table, s.table) == ends
        assert s.source < s.index
        assert s.depth == source.depth + (source.kind != "edges")
        assert s.depth <= len(fan_outs)
        assert s.fan_out == (0 if s.kind == "parents" else fan_outs[s.depth - 1])
        assert (s.kind == "edges") == (schema[s.table].kind == "edge")
        assert s.back == (s.kind == "children")
        assert not (s.kind == "parents" and source.kind in ("children", "edges") and source.edge == s.edge)
    assert {s.index for s in plan.sets if not s.is_leaf} == {s.source for s in plan.sets if s.source >= 0} | {
        s.index for s in plan.sets if s.kind == "edges"
    }


@given(schema=schemas(), fan_outs=plans())
def test_no_link_within_reach_is_missing(schema, fan_outs):
    try:
        plan = make_plan(schema, "t0", fan_outs)
    except SamplingError:
        return
    keys = [(t.name, k) for t in schema for k in t.foreign_keys]
    for s in plan.sets:
        found = sorted((x.kind, x.edge) for x in plan.hanging_from(s.index))
        if s.kind == "edges":
            expected = [("parents", e) for e, (t, _) in enumerate(keys) if t == s.table and e != s.edge]
        elif s.depth == len(fan_outs):
            expected = []
        else:
            up = [("parents", e) for e, (t, _) in enumerate(keys) if t == s.table and not (s.back and e == s.edge)]
            down = [(t, e) for e, (t, k) in enumerate(keys) if k.table == s.table]
            expected = up + [("children" if schema[t].kind == "node" else "edges", e) for t, e in down]
        assert found == sorted(expected)
