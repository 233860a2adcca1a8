"""A market with one of everything, for tests that want to see it all at once: every kind of column, key and link.

    customers   time ``joined``; columns of every kind; a self link ``referred_by``; a ``region``
    regions     no time, no column but its key
    articles    no time, but an instant ``launched``; composite key (brand, code)
    sales       time ``sold``; links to customers (twice: buyer and receiver) and to articles; columns of every kind
    visits      time ``at``; no column at all
    complaints  time ``at``; no rows
    follows     edges from customer to customer, time ``since``

Some links are NULL, some rows have no time, some customers join after their first sale, and files are not in time
order. `other_future` gives the market another future and leaves its past alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from foreknow.graph.encode import Encoding
from foreknow.graph.store import GraphStore
from foreknow.nn.model import ModelConfig, RelationalGNN
from foreknow.sample.loader import Loader
from foreknow.sample.temporal import Strategy
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.task.task import EntityTask
from foreknow.testing.stores import build_store
from foreknow.types import DAY_S, Stype, TaskType

__all__ = [
    "END",
    "START",
    "build_market",
    "market_loader",
    "market_network",
    "market_schema",
    "market_tables",
    "market_task",
    "other_future",
]

START = 1_640_995_200  # 2022-01-01, Unix seconds
END = START + 500 * DAY_S

_WORDS = ("red", "green", "blue", "old", "new", "large", "small", "fine", "plain", "wool", "silk", "steel")
_TAGS = ("sport", "home", "garden", "toys")


def market_schema() -> Schema:
    """What the tables mean."""
    tables = (
        _table(
            "customers",
            "customer_id key, joined timestamp, age numerical, income numerical, tier categorical, member boolean, "
            "born timestamp, bio text, tags multicategorical, taste embedding, referred_by key, region key",
            primary_key=("customer_id",),
            foreign_keys=(_link("referred_by", "customers"), _link("region", "regions")),
            time_column="joined",
        ),
        _table("regions", "region_id key", primary_key=("region_id",)),
        _table(
            "articles",
            "brand key, code key, category categorical, price numerical, launched timestamp",
            primary_key=("brand", "code"),
        ),
        _table(
            "sales",
            "customer_id key, receiver_id key, brand key, code key, sold timestamp, amount numerical, "
            "channel categorical, note text, extras multicategorical, shape embedding, due timestamp",
            foreign_keys=(
                _link("customer_id", "customers"),
                _link("receiver_id", "customers"),
                ForeignKey(columns=("brand", "code"), table="articles"),
            ),
            time_column="sold",
        ),
        _table(
            "visits",
            "customer_id key, at timestamp",
            foreign_keys=(_link("customer_id", "customers"),),
            time_column="at",
        ),
        _table(
            "complaints",
            "customer_id key, at timestamp, severity numerical",
            foreign_keys=(_link("customer_id", "customers"),),
            time_column="at",
        ),
        _table(
            "follows",
            "follower key, followed key, since timestamp, strength numerical",
            foreign_keys=(_link("follower", "customers"), _link("followed", "customers")),
            time_column="since",
            kind="edge",
        ),
    )
    return Schema({t.name: t for t in tables})


def market_task(**changes: Any) -> EntityTask:
    """A task about customers."""
    task: dict[str, Any] = {
        "name": "Buys",
        "type": TaskType.BINARY,
        "entity_table": "customers",
        "entity_columns": ("customer_id",),
        "entity_key": ("customer_id",),
        "label": "buys",
        "time": "seed_time",
        "metric": "roc_auc",
    }
    return EntityTask(**{**task, **changes})


def market_tables(*, num_customers: int = 24, seed: int = 0) -> dict[str, pa.Table]:
    """The rows, in no order of time. Sales, visits and follows are six, three and two per customer."""
    rng = np.random.default_rng(seed)
    n = num_customers
    return {
        "customers": _customers(rng, np.arange(n), n),
        "regions": pa.table({"region_id": ["north", "south", "east"]}),
        "articles": pa.table(
            {
                "brand": [b for b in ("acme", "bolt") for _ in range(5)],
                "code": [c for _ in range(2) for c in range(5)],
                "category": _maybe(rng, rng.choice(["shoes", "hats", "bags"], 10)),
                "price": np.round(rng.lognormal(3, 1, 10), 2),
                "launched": _times(rng, 10),
            }
        ),
        "sales": _sales(rng, 6 * n, n),
        "visits": pa.table({"customer_id": _customer(rng, 3 * n, n), "at": _times(rng, 3 * n)}),
        "complaints": pa.table(
            {
                "customer_id": pa.array([], pa.int64()),
                "at": pa.array([], pa.timestamp("us")),
                "severity": pa.array([], pa.float64()),
            }
        ),
        "follows": _follows(rng, 2 * n, n),
    }


def build_market(folder: Path, tables: Mapping[str, pa.Table] | None = None, **options: Any) -> GraphStore:
    """The market's store; see `build_store` for options."""
    return build_store(folder, market_schema(), market_tables() if tables is None else tables, **options)


def market_loader(
    store: GraphStore,
    encoding: Encoding,
    *,
    num_neighbors: Sequence[int] = (3, 2),
    strategy: Strategy = "uniform",
    windows_days: Sequence[float] = (7, 60),
    seed: int = 0,
    num_threads: int = 0,
    **task: Any,
) -> Loader:
    """A loader over the market; further options change the task."""
    return Loader.for_task(
        store,
        market_task(**task),
        encoding,
        num_neighbors=num_neighbors,
        strategy=strategy,
        windows_days=windows_days,
        seed=seed,
        num_threads=num_threads,
    )


def market_network(loader: Loader, encoding: Encoding, *, num_outputs: int = 1, **config: Any) -> RelationalGNN:
    """A small network for a loader's batches, freshly made from seed 0; further options are its configuration."""
    torch.manual_seed(0)
    return RelationalGNN(
        loader.sampler.plan,
        encoding,
        num_windows=len(loader.sampler.windows_days),
        num_outputs=num_outputs,
        config=ModelConfig(**{"channels": 8, **config}),
    )


def other_future(tables: Mapping[str, pa.Table], after: int, *, seed: int = 1) -> dict[str, pa.Table]:
    """The same market up to a time, another one later.

    Rows later than `after` (and rows without time) are gone, others take their place and lie scattered through the
    file. Articles stay, since they have no time; but those launched later are launched at yet another time.
    """
    rng = np.random.default_rng(seed)
    n = tables["customers"].num_rows
    later = END + 400 * DAY_S
    news = {
        "customers": _customers(rng, np.arange(n, n + 9), n, after, later),
        "sales": _sales(rng, 40, n + 9, after, later),
        "visits": pa.table({"customer_id": _customer(rng, 15, n + 9), "at": _times(rng, 15, after, later)}),
        "complaints": pa.table(
            {
                "customer_id": _customer(rng, 12, n + 9),
                "at": _times(rng, 12, after, later),
                "severity": rng.normal(size=12),
            }
        ),
        "follows": _follows(rng, 20, n + 9, after, later),
    }
    out = dict(tables)
    for name, new in news.items():
        time = market_schema()[name].time_column
        assert time is not None
        past = tables[name].filter(pc.less_equal(tables[name][time], _instant(after)))
        both = pa.concat_tables([past, new.cast(past.schema)])
        place = np.concatenate([np.arange(past.num_rows), rng.uniform(-1, past.num_rows, new.num_rows)])
        out[name] = both.take(pa.array(np.argsort(place, kind="stable")))
    articles = tables["articles"]
    launched = articles["launched"]
    moved = pc.if_else(pc.greater(launched, _instant(after)), _instant(later), launched)
    out["articles"] = articles.set_column(articles.column_names.index("launched"), "launched", moved)
    return out


def _table(
    name: str,
    columns: str,
    *,
    primary_key: tuple[str, ...] = (),
    foreign_keys: tuple[ForeignKey, ...] = (),
    time_column: str | None = None,
    kind: Literal["node", "edge"] = "node",
) -> Table:
    dtypes = {"numerical": "DOUBLE", "boolean": "BOOLEAN", "multicategorical": "VARCHAR[]", "embedding": "FLOAT[]"}
    made = []
    for part in columns.split(", "):
        column, stype = part.split()
        dtype = "TIMESTAMP" if stype == "timestamp" else dtypes.get(stype, "VARCHAR")
        made.append(Column(name=column, stype=Stype(stype), dtype=dtype))
    return Table(
        name=name,
        columns=tuple(made),
        primary_key=primary_key,
        foreign_keys=foreign_keys,
        time_column=time_column,
        kind=kind,
    )


def _link(column: str, table: str) -> ForeignKey:
    return ForeignKey(columns=(column,), table=table)


def _customers(rng: np.random.Generator, ids: np.ndarray, num: int, start: int = START, end: int = END) -> pa.Table:
    n = len(ids)
    return pa.table(
        {
            "customer_id": ids,
            "joined": _times(rng, n, start, end),
            "age": _maybe(rng, rng.integers(18, 80, n).astype(np.float64)),
            "income": rng.lognormal(8, 2, n),
            "tier": _maybe(rng, rng.choice(["gold", "basic"], n)),
            "member": rng.random(n) < 0.5,
            "born": _times(rng, n, 0, START),
            "bio": _texts(rng, n),
            "tags": _lists(rng, n),
            "taste": _maybe(rng, rng.normal(size=(n, 3)).tolist()),
            "referred_by": _customer(rng, n, num),
            "region": _maybe(rng, rng.choice(["north", "south"], n)),
        }
    )


def _sales(rng: np.random.Generator, n: int, num: int, start: int = START, end: int = END) -> pa.Table:
    return pa.table(
        {
            "customer_id": _customer(rng, n, num),
            "receiver_id": _customer(rng, n, num),
            "brand": _maybe(rng, rng.choice(["acme", "bolt"], n)),
            "code": rng.integers(0, 6, n),  # 5 is no article
            "sold": _times(rng, n, start, end),
            "amount": _maybe(rng, rng.lognormal(2, 1, n)),
            "channel": rng.choice(["web", "store"], n),
            "note": _texts(rng, n),
            "extras": _lists(rng, n),
            "shape": rng.normal(size=(n, 2)).tolist(),
            "due": _times(rng, n, start, end),
        }
    )


def _follows(rng: np.random.Generator, n: int, num: int, start: int = START, end: int = END) -> pa.Table:
    return pa.table(
        {
            "follower": _customer(rng, n, num),
            "followed": _customer(rng, n, num),
            "since": _times(rng, n, start, end),
            "strength": rng.normal(size=n),
        }
    )


def _customer(rng: np.random.Generator, n: int, num: int) -> pa.Array:
    return _maybe(rng, rng.integers(0, num, n))


def _texts(rng: np.random.Generator, n: int) -> pa.Array:
    return _maybe(rng, [" ".join(rng.choice(_WORDS, 3)) for _ in range(n)])


def _lists(rng: np.random.Generator, n: int) -> pa.Array:
    lists = [rng.choice(_TAGS, rng.integers(0, 3), replace=False).tolist() for _ in range(n)]
    return _maybe(rng, lists, pa.list_(pa.string()))


def _times(rng: np.random.Generator, n: int, start: int = START, end: int = END) -> pa.Array:
    """Whole hours in ``(start, end]``, one in ten missing."""
    hours = rng.integers(1, (end - start) // 3600 + 1, n)
    seconds = _maybe(rng, start + hours * 3600, pa.int64())
    return seconds.cast(pa.timestamp("s")).cast(pa.timestamp("us"))


def _instant(seconds: int) -> pa.Scalar:
    return pa.scalar(seconds * 1_000_000, pa.timestamp("us"))


def _maybe(rng: np.random.Generator, values: Any, dtype: pa.DataType | None = None) -> pa.Array:
    """Values of which one in ten is missing."""
    missing = rng.random(len(values)) < 0.1
    values = values.tolist() if isinstance(values, np.ndarray) else values
    return pa.array([None if m else v for v, m in zip(values, missing, strict=True)], dtype)
