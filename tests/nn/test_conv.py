"""One layer of message passing: with numbers by hand, and against loops over rows."""

import math

import pytest
import torch
from torch import nn

from foreknow.nn.conv import BatchNorm, HeteroConv, make_norm, reduce_children, role_of
from foreknow.sample.batch import SetTensors
from foreknow.sample.plan import make_plan
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.types import Stype

pytestmark = pytest.mark.filterwarnings("error")


def schema_of(**links):
    """Tables by name with the tables each links to; a name that begins with ``e_`` is a table of edges."""
    return Schema(
        {
            name: Table(
                name=name,
                columns=tuple(Column(name=c, stype=Stype.KEY) for c in ("id", *(f"k{i}" for i in range(len(targets))))),
                primary_key=("id",),
                foreign_keys=tuple(ForeignKey(columns=(f"k{i}",), table=t) for i, t in enumerate(targets)),
                kind="edge" if name.startswith("e_") else "node",
            )
            for name, targets in links.items()
        }
    )


def layer(schema, entity, *, channels=1, depth=0, size=1, **options):
    """A layer on vectors of one width, with all weights one, all biases zero, and its plan."""
    plan = make_plan(schema, entity, [-1])
    sizes = {role_of(s): size for s in plan.sets}
    conv = HeteroConv(
        plan, sizes, channels, depth, {r: r.replace(":", "") for r in sizes}, **{"norm": "none", **options}
    )
    with torch.no_grad():
        for name, p in conv.named_parameters():
            p.fill_(0.0 if name.endswith("bias") else 1.0)
    return conv


def children_of(counts, degree=None):
    """Links of children: `counts` of them per source row, out of `degree` visible ones."""
    counts = torch.tensor(counts)
    return {
        "owner": torch.arange(len(counts)).repeat_interleave(counts).int(),
        "offsets": torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        "degree": (counts if degree is None else torch.tensor(degree)).float(),
    }


def tensors(n, **links):
    return SetTensors(dense=torch.empty(n, 0), category=torch.empty(n, 0, dtype=torch.int32), **links)


def column(*values):
    return torch.tensor(values)[:, None]


# --- by hand ------------------------------------------------------------------------------------------------------


def test_children_tell_their_mean_and_how_many_are_visible():
    """Two parents: one has children 2 and 6 of five visible ones, one has none."""
    conv = layer(schema_of(a=[], b=["a"]), "a")
    with torch.no_grad():
        conv.message["children0_tableb_seeds"].weight.fill_(10)
    h = [column(1.0, 7.0), column(2.0, 6.0)]
    out = conv(h, [tensors(2), tensors(2, **children_of([2, 0], [5, 0]))])
    assert out[0].tolist() == [[pytest.approx(1 + 10 * 4 + math.log(6))], [7]]
    assert out[1] is None  # too far away to matter


@pytest.mark.parametrize(("how", "expected"), [("mean", [4, 0, -1]), ("sum", [8, 0, -1]), ("max", [6, 0, -1])])
def test_reduce_children_is_zero_where_there_are_none(how, expected):
    rows = tensors(3, **children_of([2, 0, 1]))
    assert reduce_children(column(2.0, 6.0, -1.0), rows, 3, how).tolist() == column(*map(float, expected)).tolist()


def test_a_parent_tells_all_its_children_and_nothing_those_without():
    conv = layer(schema_of(a=[], b=["a"]), "b")
    h = [column(1.0, 2.0, 3.0), column(10.0, 20.0)]
    out = conv(h, [tensors(3), tensors(2, link=torch.tensor([1, -1, 1], dtype=torch.int32))])
    assert out[0].flatten().tolist() == [21, 2, 23]


def test_a_child_hears_the_row_it_was_reached_from():
    conv = layer(schema_of(a=[], b=["a"]), "a", depth=1)
    h = [column(100.0, 200.0), column(1.0, 2.0, 3.0)]
    out = conv(h, [tensors(2), tensors(3, **children_of([1, 2]))])
    assert out[1].flatten().tolist() == [101, 202, 203]


def test_edges_tell_what_they_hold_and_who_is_at_the_other_end():
    """User 0 follows users 10 and 20 with strengths 1 and 3, one other edge leads nowhere; nobody follows."""
    conv = layer(schema_of(users=[], e_follows=["users", "users"]), "users")
    sets = [
        tensors(1),
        tensors(3, **children_of([3], [8])),
        tensors(2, link=torch.tensor([0, 1, -1], dtype=torch.int32)),
        tensors(0, **children_of([0])),
        tensors(0, link=torch.empty(0, dtype=torch.int32)),
    ]
    h = [column(1000.0), column(1.0, 3.0, 2.0), column(10.0, 20.0), column(), column()]
    out = conv(h, sets)
    assert out[0].flatten().tolist() == [pytest.approx(1000 + 2 + 10 + math.log(9))]
    assert out[1] is h[1]  # edges are read afresh by every layer
    assert [out[i] for i in (2, 4)] == [None, None]


@pytest.mark.parametrize(("how", "expected"), [("sum", 3 + 5 + 7), ("mean", 3 + 6), ("max", 3 + 7)])
def test_links_are_combined_and_the_row_itself_is_added(how, expected):
    conv = layer(schema_of(a=[], b=["a", "a"]), "b", hetero_aggregation=how)
    link = torch.zeros(1, dtype=torch.int32)
    out = conv([column(3.0), column(5.0), column(7.0)], [tensors(1), tensors(1, link=link), tensors(1, link=link)])
    assert out[0].tolist() == [[expected]]


def test_what_comes_out_is_not_negative():
    conv = layer(schema_of(a=[]), "a")
    assert conv([column(-2.0, 3.0)], [tensors(2)])[0].tolist() == [[0], [3]]


def test_sets_of_a_table_share_weights_by_link_and_direction():
    """Seeds are a role of their own; the two links of ``b`` have weights each."""
    conv = layer(schema_of(a=[], b=["a", "a"]), "a", depth=1)
    assert sorted(conv.own) == ["seeds", "tableb"]
    assert sorted(conv.message) == [
        "back0_seeds_tableb",
        "back1_seeds_tableb",
        "children0_tableb_seeds",
        "children1_tableb_seeds",
    ]
    assert sorted(conv.degree) == ["children0_tableb_seeds", "children1_tableb_seeds"]


def test_values_of_vectors_coming_in_are_left_as_they_are():
    conv = layer(schema_of(a=[], b=["a"]), "a")
    h = [column(1.0, 7.0), column(2.0, 6.0)]
    before = [x.clone() for x in h]
    conv(h, [tensors(2), tensors(2, **children_of([2, 0]))])
    assert all(torch.equal(a, b) for a, b in zip(h, before, strict=True))


# --- norms --------------------------------------------------------------------------------------------------------


def test_norms_by_name():
    x = torch.randn(50, 4) * 3 + 1
    per_row = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    per_column = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    for kind, expected in {"layer": per_row, "instance": per_row, "batch": per_column, "none": x}.items():
        assert torch.allclose(make_norm(kind, 4)(x), expected, atol=1e-6)
    learnt = {kind: len(list(make_norm(kind, 4).parameters())) for kind in ("layer", "instance", "batch", "none")}
    assert learnt == {"layer": 2, "instance": 0, "batch": 2, "none": 0}


def test_batch_norm_takes_a_single_row_by_what_it_has_seen_before():
    norm, x = BatchNorm(3), torch.randn(1, 3)
    norm(torch.randn(100, 3) * 2 + 5)
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    trained = norm(x)
    assert all(torch.equal(v, before[k]) for k, v in norm.state_dict().items())
    assert torch.equal(trained, norm.eval()(x))
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.train()(torch.empty(0, 3)).shape == (0, 3)
    assert norm.running_mean.isfinite().all()
