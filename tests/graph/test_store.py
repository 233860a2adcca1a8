"""The store on disk is the store that was built."""

import json
import shutil

import numpy as np
import pytest

from foreknow.errors import StoreError
from foreknow.graph.store import FORMAT, GraphStore


@pytest.fixture
def rich(build):
    """A table with a column of every kind, out of time order, that links to itself."""
    return build(
        """
        CREATE TABLE t AS SELECT * FROM (VALUES
            (1, 2.5, 'a', 'red shoes', true, [1.0, 2.0], ['x', 'y'], DATE '2019-01-01', DATE '2020-01-02', 2),
            (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 9),
            (3, 1.5, 'b', 'hats', false, [3.0, 4.0], [], DATE '2019-01-02', DATE '2020-01-01', 1))
            AS t(id, n, c, x, b, e, l, i, day, other)
        """,
        """
        t:
          key: id
          time: day
          links: {other: t}
          columns: {n: numerical, c: categorical, x: text, b: boolean, e: embedding, l: multicategorical, i: timestamp}
        """,
    )


def arrays(store):
    """Everything a store holds, by name."""
    found = {}
    for name, t in store.tables.items():
        raw = t.columns
        found |= {f"{name}.time": t.time, f"{name}.file_row": t.file_row}
        found |= {f"{name}.numbers": raw.numbers, f"{name}.instants": raw.instants}
        found |= {f"{name}.{k}": v for k, v in (raw.codes | raw.vectors).items()}
        found |= {f"{name}.{k}.{i}": a for k, v in raw.lists.items() for i, a in enumerate(v)}
        found |= {f"{name}.{k}.dict": np.array(raw.dictionary(k).to_pylist()) for k in (*raw.codes, *raw.lists)}
    for e, parts in enumerate(zip(store.parents, store.pointers, store.children, strict=True)):
        found |= {f"{e}.{i}": a for i, a in enumerate(parts)}
    return found


def test_a_store_opened_again_is_the_one_that_was_built(rich):
    again = GraphStore.open(rich.folder)
    assert (again.schema, again.fingerprint, again.findings) == (rich.schema, rich.fingerprint, rich.findings)
    assert again.edge_types == rich.edge_types
    first, second = arrays(rich), arrays(again)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert {f.name for f in again.findings} == {"missing-time", "dangling-links"}


def test_a_store_can_be_moved(rich, tmp_path):
    before = arrays(rich)
    moved = GraphStore.open(shutil.move(rich.folder, tmp_path / "elsewhere"))
    for name, array in arrays(moved).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_arrays_are_mapped_not_read_and_cannot_be_changed(rich):
    t = GraphStore.open(rich.folder)["t"]
    assert isinstance(t.columns.numbers, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        t.columns.numbers[0, 0] = 1


def test_row_ids_and_file_rows_convert_into_each_other(rich):
    t = rich["t"]
    assert t.file_row.tolist() == [2, 0, 1]
    assert t.row_of_file.tolist() == [1, 2, 0]
    assert t.to_row(np.array([0, 1, 2, -1], np.int32)).tolist() == [1, 2, 0, -1]


def test_the_time_range_leaves_rows_without_time_out(rich, toy_store):
    assert rich.time_range == (1577836800, 1577923200)
    assert toy_store.time_range == (1701388800, 1712016000)  # the first customer, the last purchase


def test_the_size_is_that_of_the_files(rich):
    assert rich.size_bytes == sum(p.stat().st_size for p in rich.folder.rglob("*.*"))


def test_a_folder_without_a_store_is_said_to_hold_none(tmp_path):
    with pytest.raises(StoreError, match=r"'.*' holds no graph store\nHint: build it again"):
        GraphStore.open(tmp_path)


@pytest.mark.parametrize("other", [FORMAT + 1, None])
def test_another_format_is_said_with_what_to_do(rich, other):
    manifest = rich.folder / "manifest.json"
    meta = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({k: v for k, v in {**meta, "format": other}.items() if v is not None}))
    message = f"is of format {other}, this version reads {FORMAT}\nHint: delete the folder; it will be built again"
    with pytest.raises(StoreError, match=message):
        GraphStore.open(rich.folder)
