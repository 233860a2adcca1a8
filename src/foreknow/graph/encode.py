"""Feature encodings: how raw columns become what a model reads, fitted on the past only.

`fit_encoding` looks at rows up to a cut-off (the last training seed time) and nothing else: scales, vocabularies,
text weights. The result, `TableEncoding`, is plain JSON plus arrays, so a bundle carries it. `TableFeatures` binds
an encoding to a store (perhaps a newer one than it was fitted on) and gathers rows:

=================  ====================================================================================
numerical          standardised; heavy-tailed ones also as signed logarithm; a flag if values can be missing
timestamp          signed log of the days before the seed time, and a flag. In a table without time column, an
                   instant after the seed time is missing: nobody knew it yet
categorical, bool  index into the column's vocabulary: 0 missing, 1 unknown or rare, 2... by falling frequency
multicategorical   the same, several per row
text               vector of the text (text.py) and a flag
embedding          standardised by one scale, and a flag
=================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numba
import numpy as np

from foreknow.graph.columns import MISSING_TIME
from foreknow.graph.store import GraphStore, GraphTable
from foreknow.graph.text import TextEmbedder, make_embedder, restore_embedder
from foreknow.schema.table import Table
from foreknow.types import DAY_S, Stype

__all__ = ["Encoding", "Rows", "TableEncoding", "TableFeatures", "TimeEncoding", "fit_encoding"]

MAX_CATEGORIES = 5_000  # per column; rarer values share the index of unknown ones
MAX_STATISTICS_ROWS = 1_000_000  # numbers are summarised from at most so many rows, evenly spaced
RARE_ROWS, MAX_RARE = 500, 10  # a category needs 1 row in tables of up to 500 rows, 2 up to 1,000, ... 10 at most
CLIP = 8.0  # standard deviations
RESERVED = 2  # missing, unknown


@dataclass(frozen=True, kw_only=True)
class NumberEncoding:
    """Scales of one numerical column. ``log_unit`` is 0 if no logarithm is added."""

    name: str
    mean: float
    std: float
    log_unit: float
    log_mean: float
    log_std: float
    has_missing: bool


@dataclass(frozen=True, kw_only=True)
class VectorEncoding:
    """Centre and scale of an embedding column, over all entries; or of a text column, named by its embedder."""

    name: str
    size: int
    mean: float = 0.0
    std: float = 1.0
    embedder: str | None = None


@dataclass(frozen=True, kw_only=True)
class TableEncoding:
    """Encoding of one table's feature columns. ``vocabularies`` hold known values as text, most frequent first."""

    table: str
    numbers: tuple[NumberEncoding, ...] = ()
    instants: tuple[str, ...] = ()
    mask_future_instants: bool = True
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vectors: tuple[VectorEncoding, ...] = ()

    @property
    def dense_columns(self) -> list[tuple[str, int]]:
        """Each source column and how many dense entries it takes, in order."""
        parts = [(n.name, 1 + (n.log_unit > 0) + n.has_missing) for n in self.numbers]
        parts += [(name, 2) for name in self.instants]
        parts += [(v.name, v.size + 1) for v in self.vectors]
        return parts

    @property
    def dense_size(self) -> int:
        """Entries of a row's dense vector."""
        return sum(n for _, n in self.dense_columns)

    @property
    def category_sizes(self) -> list[int]:
        """Indices each categorical column takes, missing and unknown included."""
        return [len(v) + RESERVED for v in self.categories.values()]

    @property
    def list_sizes(self) -> list[int]:
        """The same for multicategorical columns."""
        return [len(v) + RESERVED for v in self.lists.values()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TableEncoding:
        """Rebuild from `to_dict`."""
        return cls(
            table=value["table"],
            numbers=tuple(NumberEncoding(**n) for n in value["numbers"]),
            instants=tuple(value["instants"]),
            mask_future_instants=value["mask_future_instants"],
            categories={k: tuple(v) for k, v in value["categories"].items()},
            lists={k: tuple(v) for k, v in value["lists"].items()},
            vectors=tuple(VectorEncoding(**v) for v in value["vectors"]),
        )


@dataclass(frozen=True, kw_only=True)
class TimeEncoding:
    """The rhythm of the data's past: which time scales a model is told about.

    ``scales_days`` are log-spaced from the resolution to the span of the past; ``has_clock``, ``has_week`` and
    ``has_year`` say whether the time of day, of the week and of the year can mean something.
    """

    scales_days: tuple[float, ...] = (1.0, 7.0, 30.0, 90.0, 365.0)
    has_clock: bool = False
    has_week: bool = True
    has_year: bool = True


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Everything fitted on the past, for all tables. ``arrays`` holds text embedders' state by ``table.column.key``."""

    tables: Mapping[str, TableEncoding]
    time: TimeEncoding
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the arrays."""
        return {"tables": {k: v.to_dict() for k, v in self.tables.items()}, "time": asdict(self.time)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Encoding:
        """Rebuild from `to_dict` and the arrays."""
        time = {**value["time"], "scales_days": tuple(value["time"]["scales_days"])}
        return cls(
            tables={k: TableEncoding.from_dict(v) for k, v in value["tables"].items()},
            time=TimeEncoding(**time),
            arrays=dict(arrays),
        )


class Rows(NamedTuple):
    """Encoded rows of one table.

    ``dense``: ``(N, dense_size)`` float32. ``category``: ``(N, columns)`` int32, every column's indices shifted
    behind those of the columns before it. ``lists``: per multicategorical column ``(codes, offsets (N,))``.
    """

    dense: np.ndarray
    category: np.ndarray
    lists: list[tuple[np.ndarray, np.ndarray]]


def fit_encoding(
    store: GraphStore, until: int, *, text_embedder: str = "hashed", max_categories: int = MAX_CATEGORIES
) -> Encoding:
    """Fit the encodings of all tables on rows with ``time <= until`` (tables without time: all rows).

    Args:
        store: The graph store.
        until: The last training seed time, Unix seconds.
        text_embedder: Name for `make_embedder`.
        max_categories: Longest vocabulary of a column.
    """
    arrays: dict[str, np.ndarray] = {}
    tables = {}
    for table in store.schema:
        raw = store[table.name]
        past = int(raw.cut(np.array([until]))[0])
        tables[table.name] = _fit_table(table, raw, past, text_embedder, max_categories, arrays)
    return Encoding(tables=tables, time=_fit_time(store, until), arrays=arrays)


def _fit_table(
    table: Table,
    raw: GraphTable,
    past: int,
    text_embedder: str,
    max_categories: int,
    arrays: dict[str, np.ndarray],
) -> TableEncoding:
    c = raw.columns
    step = max(1, -(-past // MAX_STATISTICS_ROWS))
    sample = np.asarray(c.numbers[:past:step], np.float64)
    texts = {x.name for x in table.columns if x.stype is Stype.TEXT and x.name in c.code_names}
    vectors = []
    for name in c.code_names:
        if name not in texts:
            continue
        seen = np.unique(c.codes[name][:past])
        dictionary = c.dictionary(name).to_pylist()
        embedder = make_embedder(text_embedder)
        size = embedder.fit([dictionary[i - 1] for i in seen if i > 0])
        arrays.update({f"{table.name}.{name}.{k}": v for k, v in embedder.state().items()})
        vectors.append(VectorEncoding(name=name, size=size, embedder=embedder.name))
    for name in c.vector_names:
        rows = np.asarray(c.vectors[name][:past:step], np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        mean, std = (float(rows.mean()), float(rows.std())) if rows.size else (0.0, 1.0)
        size = c.vectors[name].shape[1]
        vectors.append(VectorEncoding(name=name, size=size, mean=mean, std=std or 1.0))
    return TableEncoding(
        table=table.name,
        numbers=tuple(_fit_number(n, sample[:, j]) for j, n in enumerate(c.number_names)),
        instants=c.instant_names,
        mask_future_instants=raw.time is None,
        categories={
            n: _vocabulary(c.codes[n][:past], c.dictionary(n), max_categories) for n in c.code_names if n not in texts
        },
        lists={
            n: _vocabulary(c.lists[n][1][: int(c.lists[n][0][past])], c.dictionary(n), max_categories)
            for n in c.list_names
        },
        vectors=tuple(vectors),
    )


def _fit_number(name: str, values: np.ndarray) -> NumberEncoding:
    known = values[np.isfinite(values)]
    if not len(known):
        return NumberEncoding(name=name, mean=0.0, std=1.0, log_unit=0.0, log_mean=0.0, log_std=1.0, has_missing=True)
    mean, std = float(known.mean()), float(known.std())
    # An integer-coded or nearly constant column needs no logarithm; a long tail does.
    low, middle, high = np.quantile(known, [0.01, 0.5, 0.99])
    long_tail = max(high - middle, middle - low) > 6 * max(min(high - middle, middle - low), 1e-12)
    log_unit = log_mean = 0.0
    log_std = 1.0
    if long_tail and std > 0:
        size = np.abs(known[known != 0])
        log_unit = float(np.median(size))
        logs = np.sign(known) * np.log1p(np.abs(known) / log_unit)
        log_mean, log_std = float(logs.mean()), float(logs.std()) or 1.0
    return NumberEncoding(
        name=name,
        mean=mean,
        std=std or 1.0,
        log_unit=log_unit,
        log_mean=log_mean,
        log_std=log_std,
        has_missing=len(known) < len(values),
    )


def _vocabulary(codes: np.ndarray, dictionary: Any, limit: int) -> tuple[str, ...]:
    """Values seen often enough in the past, most frequent first; ties in the order of their text.

    A value of which there are only a few rows in a large table can't be learnt, only memorised.
    """
    counts = np.bincount(codes, minlength=len(dictionary) + 1)[1:]
    seen = np.flatnonzero(counts >= min(MAX_RARE, 1 + len(codes) // RARE_ROWS))
    values = [dictionary[int(i)].as_py() for i in seen]
    order = sorted(range(len(seen)), key=lambda i: (-counts[seen[i]], values[i]))
    return tuple(values[i] for i in order[:limit])


def _fit_time(store: GraphStore, until: int) -> TimeEncoding:
    """Scales between the smallest step and the span of the past, over all timed tables."""
    gaps, first = [], until
    for t in store.tables.values():
        if t.time is None:
            continue
        past = int(t.cut(np.array([until]))[0])
        if past:
            first = min(first, int(t.time[0]))
        times = np.unique(t.time[: min(past, MAX_STATISTICS_ROWS)])
        if len(times) > 1:
            gaps.append(int(np.diff(times).min()))
    span_days = max((until - first) / DAY_S, 1.0)
    step_days = min(gaps) / DAY_S if gaps else 1.0
    low = min(max(step_days, 1 / 24), span_days)
    num_scales = int(np.clip(np.ceil(np.log2(span_days / low) / 1.5) + 1, 2, 8))
    return TimeEncoding(
        scales_days=tuple(float(s) for s in np.geomspace(low, span_days, num_scales).round(4)),
        has_clock=step_days < 0.5,
        has_week=step_days < 4 and span_days > 14,
        has_year=step_days < 200 and span_days > 400,
    )


class TableFeatures:
    """An encoding bound to the rows of a store: gathers encoded rows."""

    def __init__(self, encoding: TableEncoding, table: GraphTable, arrays: Mapping[str, np.ndarray]) -> None:
        self.encoding = encoding
        self._raw = raw = table.columns
        self._number_column = np.array([raw.number_names.index(n.name) for n in encoding.numbers], np.int64)
        self._scales = np.array(
            [(n.mean, 1 / n.std, n.log_unit, n.log_mean, 1 / n.log_std, n.has_missing) for n in encoding.numbers],
            np.float64,
        ).reshape(-1, 6)
        self._lookup = {}
        self._category_offset = {}
        offset = 0
        for name, vocabulary in encoding.categories.items():
            self._category_offset[name] = offset
            self._lookup[name] = (_lookup(raw.dictionary(name), vocabulary) + offset).astype(np.int32)
            offset += len(vocabulary) + RESERVED
        self._list_lookup = {n: _lookup(raw.dictionary(n), v) for n, v in encoding.lists.items()}
        self._text = {}
        for v in encoding.vectors:
            if v.embedder is None:
                continue
            prefix = f"{encoding.table}.{v.name}."
            state = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
            self._text[v.name] = _embed_dictionary(restore_embedder(v.embedder, state), raw.dictionary(v.name), v.size)
        self._dense_start = {}
        start = 0
        for name, size in encoding.dense_columns:
            self._dense_start[name] = (start, size)
            start += size

    @property
    def needs_seed_time(self) -> bool:
        """Whether a row looks different at different seed times."""
        return bool(self.encoding.instants)

    def gather(self, ids: np.ndarray, seed_time: np.ndarray) -> Rows:
        """Encode rows.

        Args:
            ids: Row ids. Shape ``(N,)``, int32.
            seed_time: When each row is looked at, Unix seconds. Shape ``(N,)``; unused without instants.
        """
        e, raw = self.encoding, self._raw
        dense = np.zeros((len(ids), e.dense_size), np.float32)
        if e.numbers:
            _gather_numbers(raw.numbers, ids, self._number_column, self._scales, CLIP, dense)
        for name in e.instants:
            start, _ = self._dense_start[name]
            column = raw.instant_names.index(name)
            value = raw.instants[ids, column]
            unknown = value == MISSING_TIME
            if e.mask_future_instants:
                unknown |= value > seed_time
            days = np.where(unknown, 0.0, (seed_time - np.where(unknown, 0, value)) / DAY_S)
            dense[:, start] = np.where(unknown, 0.0, np.sign(days) * np.log1p(np.abs(days)) / 4)
            dense[:, start + 1] = unknown
        for v in e.vectors:
            start, size = self._dense_start[v.name]
            if v.embedder is not None:
                codes = raw.codes[v.name][ids]
                dense[:, start : start + size - 1] = self._text[v.name][codes]
                dense[:, start + size - 1] = codes == 0
            else:
                vectors = (raw.vectors[v.name][ids] - v.mean) / v.std
                missing = ~np.isfinite(vectors).all(axis=1)
                vectors[missing] = 0
                dense[:, start : start + size - 1] = np.clip(vectors, -CLIP, CLIP)
                dense[:, start + size - 1] = missing
        category = np.empty((len(ids), len(e.categories)), np.int32)
        for j, name in enumerate(e.categories):
            category[:, j] = self._lookup[name][raw.codes[name][ids]]
        lists = []
        for name in e.lists:
            pointer, codes = raw.lists[name]
            length = (pointer[ids + 1] - pointer[ids]).astype(np.int64)
            offsets = np.zeros(len(ids), np.int64)
            np.cumsum(length[:-1], out=offsets[1:])
            within = np.arange(int(length.sum())) - np.repeat(offsets, length)
            lists.append((self._list_lookup[name][codes[np.repeat(pointer[ids], length) + within]], offsets))
        return Rows(dense, category, lists)

    def hide(self, rows: Rows, hidden: np.ndarray, known: Sequence[str]) -> Rows:
        """Make all columns but `known` missing in some rows: what a row's later self holds is not known yet.

        Args:
            rows: From `gather`.
            hidden: Rows to hide. Shape ``(N,)``, bool.
            known: Columns that stay.
        """
        if not hidden.any():
            return rows
        dense, category = rows.dense.copy(), rows.category.copy()
        for name, (start, size) in self._dense_start.items():
            if name not in known:
                dense[hidden, start : start + size] = 0
                number = next((n for n in self.encoding.numbers if n.name == name), None)
                if number is None or number.has_missing:
                    dense[hidden, start + size - 1] = 1
        for j, (name, offset) in enumerate(self._category_offset.items()):
            if name not in known:
                category[hidden, j] = offset
        lists = []
        for (codes, offsets), name in zip(rows.lists, self.encoding.lists, strict=True):
            if name in known:
                lists.append((codes, offsets))
                continue
            length = np.diff(np.append(offsets, len(codes)))
            keep = np.repeat(~hidden, length)
            length = np.where(hidden, 0, length)
            lists.append((codes[keep], np.concatenate([[0], np.cumsum(length[:-1])]).astype(np.int64)))
        return Rows(dense, category, lists)


@numba.njit(cache=True, nogil=True)
def _gather_numbers(
    numbers: np.ndarray,
    ids: np.ndarray,
    column: np.ndarray,
    scales: np.ndarray,
    clip: float,
    out: np.ndarray,
) -> None:
    """Standardise in one pass over the gathered rows; see `NumberEncoding` for the order of ``scales``."""
    for i in range(ids.shape[0]):
        at = 0
        for j in range(column.shape[0]):
            x = np.float64(numbers[ids[i], column[j]])
            missing = np.isnan(x)
            if not missing:
                z = (x - scales[j, 0]) * scales[j, 1]
                out[i, at] = min(max(z, -clip), clip)
            at += 1
            if scales[j, 2] > 0:
                if not missing:
                    log = np.sign(x) * np.log1p(abs(x) / scales[j, 2])
                    z = (log - scales[j, 3]) * scales[j, 4]
                    out[i, at] = min(max(z, -clip), clip)
                at += 1
            if scales[j, 5] > 0:
                out[i, at] = 1.0 if missing else 0.0
                at += 1


def _lookup(dictionary: Any, vocabulary: Sequence[str]) -> np.ndarray:
    """From a store's codes to vocabulary indices: 0 missing, 1 unknown, 2... known."""
    index = {v: i + RESERVED for i, v in enumerate(vocabulary)}
    return np.array([0, *(index.get(v, 1) for v in dictionary.to_pylist())], np.int32)


def _embed_dictionary(embedder: TextEmbedder, dictionary: Any, size: int) -> np.ndarray:
    """Vectors by code; a missing text is the zero vector."""
    out = np.zeros((len(dictionary) + 1, size), np.float32)
    if len(dictionary):
        out[1:] = embedder.embed(dictionary.to_pylist())
    return out
