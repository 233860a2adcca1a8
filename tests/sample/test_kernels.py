"""The kernels against a few lines of plain Python each, and their draws against the laws of chance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from foreknow.sample import temporal
from foreknow.sample.kernels import (
    SELECT_FACTOR,
    child_ranges,
    draw_children,
    mix,
    parent_rows,
    unique_pairs,
    window_counts,
)

pytestmark = pytest.mark.filterwarnings("error")

int32s = st.lists(st.integers(-1, 5), max_size=40)


def random_keys(n, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 64, n, dtype=np.uint64)


def draw(degree, fan_out, keys, *, last=False, low=0, child=None):
    """Draw from one list of `degree` children once per key. Returns ``(keys, drawn)`` row ids and the owners."""
    n = len(keys)
    num = degree if fan_out < 0 else min(degree, fan_out)
    child = np.arange(low + degree, dtype=np.int32) if child is None else child
    out, owner = np.full(n * num, -7, np.int32), np.full(n * num, -7, np.int32)
    draw_children(
        child,
        np.full(n, low, np.int64),
        np.full(n, degree, np.int32),
        np.arange(n + 1, dtype=np.int64) * num,
        keys,
        last,
        out,
        owner,
    )
    return out.reshape(n, num), owner.reshape(n, num)


# --- random numbers ----------------------------------------------------------------------------------------------


def test_mix_is_the_published_splitmix64():
    golden = 0x9E3779B97F4A7C15
    first = [int(mix(np.uint64((1234567 + i * golden) % 2**64))) for i in range(3)]
    assert first == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_mix_is_the_same_on_python_integers_arrays_and_in_kernels():
    values = random_keys(50)
    expected = [int(mix(v)) for v in values]
    assert [temporal._mix_int(int(v)) for v in values] == expected
    assert temporal._mix_array(values).tolist() == expected


# --- which children are visible -----------------------------------------------------------------------------------


@given(
    lists=st.lists(st.lists(st.integers(0, 20), unique=True, max_size=9).map(sorted), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 21), min_size=1, max_size=3),
    fan_out=st.sampled_from([-1, 1, 2, 5]),
    data=st.data(),
)
def test_child_ranges_are_the_children_below_the_cut(lists, cuts, fan_out, data):
    ids = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    slot = data.draw(st.lists(st.integers(0, len(cuts) - 1), min_size=len(ids), max_size=len(ids)))
    pointer = np.cumsum([0, *map(len, lists)])
    child = np.array([c for children in lists for c in children], np.int32)
    low, degree = np.empty(len(ids), np.int64), np.empty(len(ids), np.int32)
    offsets = np.empty(len(ids) + 1, np.int64)
    as_int32 = np.array(ids, np.int32), np.array(slot, np.int32)
    child_ranges(pointer, child, *as_int32, np.array(cuts), fan_out, low, degree, offsets)
    visible = [[c for c in lists[i] if c < cuts[s]] for i, s in zip(ids, slot, strict=True)]
    assert [child[a : a + d].tolist() for a, d in zip(low, degree, strict=True)] == visible
    drawn = [len(v) if fan_out < 0 else min(len(v), fan_out) for v in visible]
    assert offsets.tolist() == np.cumsum([0, *drawn]).tolist()


# --- which of them are drawn --------------------------------------------------------------------------------------


@given(
    degree=st.integers(0, 60),
    fan_out=st.sampled_from([-1, 1, 2, 3, 7]),
    last=st.booleans(),
    low=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_a_draw_is_ascending_without_repeats_and_complete_if_it_can_be(degree, fan_out, last, low, seed):
    drawn, owner = draw(degree, fan_out, random_keys(4, seed), last=last, low=low)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert ((drawn >= low) & (drawn < low + degree)).all()
    assert (owner == np.arange(4)[:, None]).all()
    if drawn.shape[1] == degree:
        assert (drawn == low + np.arange(degree)).all()
    elif last:
        assert (drawn == low + np.arange(degree)[-fan_out:]).all()


def test_a_draw_returns_row_ids_not_positions():
    child = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31], np.int32)
    for fan_out in (1, 4):  # Floyd's method, selection
        drawn, _ = draw(len(child), fan_out, random_keys(50), child=child)
        assert set(drawn.ravel().tolist()) == set(child.tolist())


@pytest.mark.parametrize(
    ("degree", "fan_out"),
    [(5, 2), (SELECT_FACTOR * 2, 2), (6, 5), (SELECT_FACTOR * 2 + 1, 2), (20, 2), (11, 1), (30, 3)],
    ids=[
        "select",
        "select to the limit",
        "select all but one",
        "floyd just beyond",
        "floyd",
        "floyd one",
        "floyd three",
    ],
)
def test_every_subset_is_drawn_equally_often(degree, fan_out):
    subsets = {s: i for i, s in enumerate(itertools.combinations(range(degree), fan_out))}
    drawn, _ = draw(degree, fan_out, random_keys(max(20_000, 10 * len(subsets)), seed=degree))
    counts = np.bincount([subsets[tuple(row)] for row in drawn.tolist()], minlength=len(subsets))
    assert chisquare(counts).pvalue > 0.01


def test_a_hub_of_a_million_children_is_drawn_from_all_over():
    drawn, _ = draw(1_000_000, 128, random_keys(200))
    assert chisquare(np.bincount(drawn.ravel() // 50_000, minlength=20)).pvalue > 0.01


def test_one_key_always_draws_the_same():
    keys = np.repeat(random_keys(1), 10)
    for degree in (10, 1000):
        drawn, _ = draw(degree, 4, keys)
        assert len(np.unique(drawn, axis=0)) == 1


# --- parents ------------------------------------------------------------------------------------------------------


@given(parent=st.lists(st.integers(-1, 6), min_size=1, max_size=8), cut=st.integers(0, 7))
def test_a_parent_is_looked_up_if_it_is_below_the_cut(parent, cut):
    ids = np.arange(len(parent), dtype=np.int32)[::-1].copy()
    out = np.empty(len(ids), np.int32)
    slot = np.ones(len(ids), np.int32)
    parent_rows(np.array(parent, np.int32), ids, slot, np.array([99, cut]), out)
    assert out.tolist() == [p if 0 <= p < cut else -1 for p in parent[::-1]]


@given(ids=int32s, data=st.data())
def test_unique_pairs_keep_each_pair_once_in_order(ids, data):
    slot = data.draw(st.lists(st.integers(0, 2), min_size=len(ids), max_size=len(ids)))
    buffers = [np.full(len(ids), -7, np.int32) for _ in range(3)]
    count = unique_pairs(np.array(ids, np.int32), np.array(slot, np.int32), *buffers)
    expected = list(dict.fromkeys((i, s) for i, s in zip(ids, slot, strict=True) if i >= 0))
    out_ids, out_slot, position = (b.tolist() for b in buffers)
    assert list(zip(out_ids, out_slot, strict=True))[:count] == expected
    assert position == [-1 if i < 0 else expected.index((i, s)) for i, s in zip(ids, slot, strict=True)]


def test_unique_pairs_hold_many_distinct_rows():
    ids = np.random.default_rng(0).permutation(np.repeat(np.arange(50_000, dtype=np.int32), 2))
    out_ids, out_slot, position = (np.empty(len(ids), np.int32) for _ in range(3))
    count = unique_pairs(ids, np.zeros(len(ids), np.int32), out_ids, out_slot, position)
    assert count == 50_000
    assert (out_ids[position] == ids).all()


# --- windows ------------------------------------------------------------------------------------------------------


@given(children=st.lists(st.integers(0, 30), unique=True, max_size=12).map(sorted), data=st.data())
def test_window_counts_are_the_children_from_the_start_on(children, data):
    begin = data.draw(st.integers(0, len(children)))
    degree = data.draw(st.integers(0, len(children) - begin))
    starts = data.draw(st.lists(st.integers(0, 31), min_size=1, max_size=3))
    out = np.full((1, len(starts)), -7)
    rows = np.array([begin]), np.array([degree], np.int32), np.zeros(1, np.int32)
    window_counts(np.array(children, np.int32), *rows, np.array(starts)[:, None], out)
    visible = children[begin : begin + degree]
    assert out[0].tolist() == [sum(c >= start for c in visible) for start in starts]
