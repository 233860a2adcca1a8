"""Row encoders against one row at a time, in as few words as possible."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from foreknow.graph.encode import NumberEncoding, TableEncoding
from foreknow.nn.columns import FLAT_CATEGORY_SIZE, DeepColumns, FlatColumns
from foreknow.sample.batch import SetTensors

pytestmark = pytest.mark.filterwarnings("error")

NUMBER = NumberEncoding(name="n", mean=0, std=1, log_unit=0, log_mean=0, log_std=1, has_missing=True)
NUMBERS = {"numbers": (NUMBER,)}  # two dense entries
CATEGORIES = {"categories": {"a": ("x", "y", "z"), "b": ("u",)}}  # indices 0-4 and 5-7
LISTS = {"lists": {"l": ("p", "q")}}  # indices 0-3

TABLES = {
    "all": NUMBERS | CATEGORIES | LISTS,
    "numbers": NUMBERS,
    "categories": CATEGORIES,
    "lists": LISTS,
    "nothing": {},
}


def rows_of(encoding, n):
    """Made-up rows; the list of row ``i`` has ``i % 3`` entries."""
    g = torch.Generator().manual_seed(0)
    category = torch.empty(n, len(encoding.categories), dtype=torch.int32)
    start = 0
    for j, size in enumerate(encoding.category_sizes):
        category[:, j] = start + torch.randint(size, (n,), generator=g)
        start += size
    lists = []
    for size in encoding.list_sizes:
        lengths = torch.arange(n) % 3
        codes = torch.randint(size, (int(lengths.sum()),), generator=g, dtype=torch.int32)
        lists.append((codes, lengths.cumsum(0) - lengths))
    dense = torch.randn(n, encoding.dense_size, generator=g)
    return SetTensors(dense=dense, category=category, lists=tuple(lists))


def entries(rows, i):
    """Codes of each list of one row."""
    n = len(rows)
    return [codes[offsets[i] : offsets[i + 1] if i + 1 < n else None].tolist() for codes, offsets in rows.lists]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("num_extra", [0, 3])
def test_deep_columns_sum_what_a_row_shows(table, num_extra):
    encoding = TableEncoding(table="t", **TABLES[table])
    torch.manual_seed(0)
    encoder, rows = DeepColumns(encoding, num_extra, 4), rows_of(encoding, 6)
    extra = torch.randn(6, num_extra) if num_extra else None
    out = encoder(rows, extra)
    assert out.shape == (6, encoder.out_size) == (6, 4)
    for i in range(6):
        shown = torch.cat([rows.dense[i], extra[i]]) if num_extra else rows.dense[i]
        x = encoder.bias if not len(shown) else encoder.dense.weight @ shown + encoder.dense.bias
        for code in rows.category[i].tolist():
            x = x + encoder.category.weight[code]
        for bag, codes in zip(encoder.lists, entries(rows, i), strict=True):
            if codes:
                x = x + bag.weight[codes].mean(0)
        normed = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
        expected = encoder.out.weight @ normed.clamp_min(0) + encoder.out.bias
        assert torch.allclose(out[i], expected, atol=1e-6)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("num_extra", [0, 3])
def test_flat_columns_put_what_a_row_shows_side_by_side(table, num_extra):
    encoding = TableEncoding(table="t", **TABLES[table])
    encoder, rows = FlatColumns(encoding, num_extra), rows_of(encoding, 6)
    extra = torch.randn(6, num_extra) if num_extra else None
    out = encoder(rows, extra)
    assert out.shape == (6, encoder.out_size)
    if table == "nothing" and not num_extra:
        assert encoder.is_empty
        assert out.tolist() == [[1]] * 6
        return
    for i in range(6):
        parts = [rows.dense[i], *([extra[i]] if num_extra else [])]
        parts += [encoder.category.weight[code] for code in rows.category[i].tolist()]
        for bag, codes in zip(encoder.lists, entries(rows, i), strict=True):
            parts.append(bag.weight[codes].mean(0) if codes else torch.zeros(FLAT_CATEGORY_SIZE))
        assert torch.allclose(out[i], torch.cat(parts))


@pytest.mark.parametrize("table", TABLES)
def test_no_rows_encode_to_none(table):
    encoding = TableEncoding(table="t", **TABLES[table])
    rows = rows_of(encoding, 0)
    for num_extra in (0, 2):
        extra = torch.empty(0, num_extra) if num_extra else None
        for encoder in (DeepColumns(encoding, num_extra, 4), FlatColumns(encoding, num_extra)):
            out = encoder(rows, extra)
            assert out.shape == (0, encoder.out_size)
            if out.requires_grad:
                out.sum().backward()  # nothing to learn from, nothing breaks


def test_rows_without_any_column_are_all_alike_but_learnable():
    encoding = TableEncoding(table="t")
    deep = DeepColumns(encoding, 0, 4)
    with torch.no_grad():
        deep.bias += torch.tensor([1.0, 0, 0, -1])
    out = deep(rows_of(encoding, 3), None)
    assert torch.equal(out, out[:1].expand(3, -1))
    F.mse_loss(out, torch.zeros(3, 4)).backward()
    assert deep.bias.grad.abs().sum() > 0
