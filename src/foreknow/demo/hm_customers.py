"""The customers of the H&M-shaped shop: the customers table and what only the generator knows of each customer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foreknow.demo.hm_articles import NUM_TASTES, TASTE_AGES
from foreknow.demo.hm_database import COLUMNS

__all__ = ["NUM_DAYS", "Customers", "make_customers"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NUM_DAYS = 734
"""Days from 2018-09-20 to 2020-09-22, both included."""


@dataclass(frozen=True, kw_only=True)
class Customers:
    """The customers, ordered by customer_id; every array has one row per customer."""

    table: Any  # pyarrow.Table with the columns of customers
    age: Floats  # years, also where the table's is missing
    tastes: NDArray[np.int8]  # first and second taste group, shape (num_customers, 2)
    rate: Floats  # visits per day, up to a factor that sets the size of the data
    start: Floats  # day from which the customer may visit; 0 for customers from before the data
    keen: Floats  # chance that a visit is followed by another one soon
    restless: Floats  # factor on the chance to quit after a visit

    def head(self, number: int) -> Customers:
        """The first `number` customers."""
        return Customers(**{field.name: getattr(self, field.name)[:number] for field in fields(self)})


def make_customers(num_customers: int, rng: np.random.Generator) -> Customers:
    """Invent the customers.

    Args:
        num_customers: How many customers.
        rng: Source of randomness.
    """
    n = num_customers
    young = rng.random(n) < 0.6
    age = np.where(young, 18 + rng.gamma(3.0, 3.5, n), rng.normal(49, 9, n)).clip(16, 99).round()
    club = rng.choice(4, n, p=[0.925, 0.068, 0.003, 0.004])
    active = club == 0
    reads = rng.random(n) < np.where(active, 0.37, 0.12)  # gets fashion news
    news = np.where(reads, np.where(rng.random(n) < 0.02, 2, 1), np.where(rng.random(n) < 0.015, 3, 0))
    opened = reads & (rng.random(n) < 0.95)

    rate = (rng.gamma(0.4, 1.0, n) + 0.02) * np.where(active, 1.0, 0.5) * np.where(reads, 1.4, 1.0)
    rate *= np.where(age < 30, 1.3, 1.0)
    keen = (rng.beta(0.27, 0.7, n) * np.where(reads, 1.5, 0.75) * np.where(age < 30, 1.25, 0.8)).clip(max=0.9)
    start = np.where(rng.random(n) < 0.3, 0.0, rng.uniform(0, NUM_DAYS, n))

    columns = {
        "customer_id": _hex_ids(n, rng, ordered=True),
        "FN": _one_or_null(reads),
        "Active": _one_or_null(opened),
        "club_member_status": _choice(["ACTIVE", "PRE-CREATE", "LEFT CLUB", None], club),
        "fashion_news_frequency": _choice(["NONE", "Regularly", "Monthly", None], news),
        "age": pa.array(age.astype(np.int64), mask=rng.random(n) < 0.012),
        "postal_code": _postal_codes(n, rng),
    }
    return Customers(
        table=pa.table({name: columns[name] for name in COLUMNS["customers"]}),
        age=age,
        tastes=_tastes(age, rng),
        rate=rate,
        start=start,
        keen=keen,
        restless=np.where(active, 1.0, 1.8),
    )


def _tastes(age: Floats, rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw two taste groups; some are more common than others, and each is worn more at its own age."""
    common = 1 / (1 + rng.permutation(NUM_TASTES)) ** 0.5
    years = np.arange(100)[:, None]
    weight = common * (0.25 + np.exp(-(((years - TASTE_AGES) / 12) ** 2)))
    cdf = np.cumsum(weight, axis=1)
    cdf /= cdf[:, -1:]
    drawn = np.empty((len(age), 2), np.int8)
    for year in np.unique(age).astype(np.int64):
        here = np.flatnonzero(age == year)
        drawn[here] = np.searchsorted(cdf[year], rng.random((len(here), 2)))
    return drawn


def _hex_ids(n: int, rng: np.random.Generator, *, ordered: bool) -> Any:
    """Draw `n` strings of 64 hex digits as an Arrow array, without a Python string in between."""
    raw = np.frombuffer(rng.bytes(32 * n), ">u8").reshape(n, 4)
    if ordered:  # the first 64 bits decide
        raw = raw[np.argsort(raw[:, 0], kind="stable")]
    text = pa.py_buffer(raw.tobytes().hex().encode())
    offsets = pa.py_buffer((np.arange(n + 1) * 64).astype(np.int32))
    return pa.StringArray.from_buffers(n, offsets, text)


def _postal_codes(n: int, rng: np.random.Generator) -> Any:
    """One code in eleven is the same (no address), the others are shared by a few customers each."""
    pool = _hex_ids(max(2, n // 4), rng, ordered=False)
    index = 1 + ((len(pool) - 1) * rng.random(n) ** 1.4).astype(np.int64)
    return pool.take(pa.array(np.where(rng.random(n) < 0.09, 0, index)))


def _one_or_null(flag: NDArray[np.bool_]) -> Any:
    return pa.array(np.ones(len(flag)), mask=~flag)


def _choice(values: list[str | None], index: Ints) -> Any:
    return pa.array(values, pa.string()).take(pa.array(index))
