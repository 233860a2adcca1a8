import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.graph.adjacency import build_reverse
from foreknow.types import NO_ROW


def children(parent, num_parents):
    pointer, child = build_reverse(np.array(parent, np.int32), num_parents)
    assert (pointer.dtype, child.dtype) == (np.int64, np.int32)
    assert pointer.shape == (num_parents + 1,)
    return [child[pointer[p] : pointer[p + 1]].tolist() for p in range(num_parents)]


def test_every_parent_lists_its_children_oldest_first():
    assert children([2, NO_ROW, 0, 2, 2], 4) == [[2], [], [0, 3, 4], []]


@pytest.mark.parametrize(("parent", "num_parents"), [([], 0), ([], 3), ([NO_ROW, NO_ROW], 2)])
def test_without_links_all_lists_are_empty(parent, num_parents):
    assert children(parent, num_parents) == [[] for _ in range(num_parents)]


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(NO_ROW, n - 1), max_size=30))))
def test_reverse_lists_are_the_transpose_of_the_links_and_ascend(given_links):
    num_parents, parent = given_links
    lists = children(parent, num_parents)
    assert all(ids == sorted(set(ids)) for ids in lists)
    backward = {(p, row) for p, ids in enumerate(lists) for row in ids}
    assert backward == {(p, row) for row, p in enumerate(parent) if p != NO_ROW}
