"""A fashion shop's database in the shape of the H&M data, made from a seed, and its churn task.

`generate` writes a DuckDB file with the three tables of the Kaggle data set "H&M Personalized Fashion
Recommendations", same columns, same types, same code tables in size, but every row and name invented.
`import_kaggle` reads the real files into the same schema, so whatever is tried here runs there.

The data is a game with known rules. What is planted:

- **Customers** visit at their own gamma-distributed rates, and differ in how often one visit is followed by
  another within days. Most start at some time during the two years; three in ten were there before.
- **Quality** is a hidden number of each article: mostly its garment group's, less its product type's. After a
  basket of bad articles customers quit for good or stay away 10 to 60 days; after good ones they rarely do.
  So churn depends on a column two links away: customer, transactions, ``garment_group_no``. Who is no active club
  member quits sooner.
- **Customer columns** say little on their own: readers of fashion news and those under 30 visit more, club status
  matters for quitting. Behaviour (recency, frequency, gaps) says more, and the articles add to it.
- **Popularity** of articles is power-law and drifts: articles are launched all the time (product codes rise with
  the date), fade within months except for one evergreen in five, product types come in and out of fashion, and
  swimwear, shorts and dresses sell in summer, coats and knitwear in winter.
- **Taste**: 24 groups of neighbouring sections share colours and patterns. A customer has two, drawn by age; nine
  baskets in ten are of one of them, and a basket stays within its group. So articles of an index are bought
  together, and now and then two colours of one product.
- **Repeats**: one article in five or so was bought before by the same customer.
- **Prices** are list price (by garment group and product) x sales of January and July x markdown of what goes out
  x a little noise, on the real data's scale, where they average 0.03. **Sales channel**: the young buy online (2).

Notes on the schema: ``product_code`` is a BIGINT without the leading zero, as everyone who reads the real file
gets it; ``article_id`` is text and keeps its zero. Customers and articles have primary keys; transactions declare no
key and no link, as files don't: the links are there to be found. Customers are ordered by id, transactions by
date and, within a day, by customer.

The content depends on size and seed alone, not on threads. Not planted: weekdays, returns, images, prices that
drive demand, customers who know each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foreknow.demo.hm_articles import Catalogue, make_catalogue
from foreknow.demo.hm_customers import NUM_DAYS, Customers, make_customers
from foreknow.demo.hm_database import Progress, count_rows, create_tables, insert, new_database
from foreknow.demo.hm_kaggle import import_kaggle
from foreknow.demo.hm_purchases import Purchases, shop
from foreknow.errors import ConfigError, TaskError, did_you_mean

__all__ = ["CHURN_SQL", "SIZES", "Progress", "Size", "churn_sql", "generate", "import_kaggle"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much to generate."""

    customers: int
    articles: int
    transactions: int  # what the simulation aims for; it ends within a few per cent
    departments: int = 250  # at most

    def __post_init__(self) -> None:
        wrong = {name: value for name, value in asdict(self).items() if value < 1}
        if wrong:
            raise ConfigError(f"sizes must be at least 1, not {wrong}")


SIZES = {
    "small": Size(customers=20_000, articles=5_000, transactions=300_000, departments=120),
    "medium": Size(customers=100_000, articles=20_000, transactions=3_000_000, departments=200),
    "large": Size(customers=1_371_980, articles=105_542, transactions=31_788_324),
}
"""Sizes by name; ``large`` is the real data's."""

_FIRST_DAY = np.datetime64("2018-09-20", "D")
_CHUNK_ROWS = 500_000  # transactions per insert
_WEEK = timedelta(days=7)
_SEED_TIMES = {  # first and last weekly seed time of each split, all Mondays
    "train": (date(2019, 9, 2), date(2020, 8, 24)),
    "validation": (date(2020, 8, 31), date(2020, 8, 31)),
    "test": (date(2020, 9, 7), date(2020, 9, 7)),
}


def generate(
    path: Path,
    *,
    size: str | Size = "small",
    seed: int = 0,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write an H&M-shaped DuckDB database with tables customers, articles and transactions.

    Args:
        path: Where the database goes. It appears when complete, never half-made.
        size: A name in `SIZES`, or a `Size`.
        seed: The same size and seed give the same rows in the same order.
        progress: Told the table being written and the share of the work done.
        overwrite: Replace a file that is there already.

    Returns:
        Rows per table.

    Raises:
        ConfigError: `size` is not known, or `seed` is negative.
        SinkError: `path` exists and `overwrite` is off, or it can't be written.
    """
    if isinstance(size, str):
        if size not in SIZES:
            raise ConfigError(f"there is no size '{size}'", hint=did_you_mean(size, SIZES, "sizes"))
        size = SIZES[size]
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, not {seed}")
    report = progress or _silent
    with new_database(Path(path), overwrite=overwrite) as db:
        create_tables(db)
        report("customers", 0.0)
        customers = make_customers(size.customers, _stream(seed, "customers"))
        insert(db, "customers", customers.table)
        report("articles", 0.03)
        catalogue = make_catalogue(size.articles, size.departments, _stream(seed, "articles"))
        insert(db, "articles", catalogue.table)
        report("transactions", 0.05)
        for days in _chunks(shop(catalogue, customers, size.transactions, _stream(seed, "transactions"))):
            insert(db, "transactions", _transactions(days, catalogue, customers))
            report("transactions", 0.05 + 0.9 * (days[-1].day + 1) / NUM_DAYS)
        rows = count_rows(db)
    report("transactions", 1.0)
    return rows


def churn_sql(split: str) -> str:
    """The churn task of a split as DuckDB SQL over customers, articles and transactions.

    For every Monday t of the split: who bought in ``(t - 7 days, t]``; ``churn`` is 1 for those who then buy
    nothing in ``(t, t + 7 days]``. Train has 52 Mondays from 2019-09-02 on, validation and test the two after.

    Args:
        split: ``train``, ``validation`` or ``test``.

    Returns:
        A query for customer_id, timestamp (TIMESTAMP) and churn (BIGINT), ordered by timestamp and customer_id.

    Raises:
        TaskError: There is no such split.
    """
    if split not in _SEED_TIMES:
        raise TaskError(f"churn has no split '{split}'", hint=did_you_mean(split, _SEED_TIMES, "splits"))
    first, last = _SEED_TIMES[split]
    # A purchase belongs to one week: the one that ends on the Monday not before it. The microsecond makes a
    # purchase at Monday 00:00, where the week is closed, fall into the week that ends there.
    return f"""\
WITH active AS (
  SELECT DISTINCT customer_id, date_trunc('week', t_dat - INTERVAL 1 MICROSECOND) + INTERVAL 7 DAYS AS week_end
  FROM transactions
  WHERE t_dat > DATE '{first - _WEEK}' AND t_dat <= DATE '{last + _WEEK}'
)
SELECT now.customer_id, now.week_end AS timestamp, (later.week_end IS NULL)::BIGINT AS churn
FROM active AS now
LEFT JOIN active AS later
  ON later.customer_id = now.customer_id AND later.week_end = now.week_end + INTERVAL 7 DAYS
WHERE now.week_end <= DATE '{last}'
ORDER BY timestamp, now.customer_id
"""


CHURN_SQL = {split: churn_sql(split) for split in _SEED_TIMES}
"""The churn task's queries by split, ready to be written into a project file."""


def _silent(table: str, done: float) -> None:
    """Tell nobody."""


def _stream(seed: int, part: str) -> np.random.Generator:
    """Random numbers of one part of the data; parts don't disturb each other."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def _chunks(days: Iterable[Purchases]) -> Iterator[list[Purchases]]:
    """Gather days until they are worth an insert."""
    chunk: list[Purchases] = []
    rows = 0
    for day in days:
        chunk.append(day)
        rows += len(day.customer)
        if rows >= _CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _transactions(days: list[Purchases], catalogue: Catalogue, customers: Customers) -> Any:
    """The rows of some days as an Arrow table."""
    lengths = [len(day.customer) for day in days]
    customer = pa.array(np.concatenate([day.customer for day in days]))
    article = pa.array(np.concatenate([day.article for day in days]))
    return pa.table(
        {
            "t_dat": pa.array(np.repeat(_FIRST_DAY + np.array([day.day for day in days]), lengths)),
            "customer_id": customers.table["customer_id"].take(customer),
            "article_id": catalogue.table["article_id"].take(article),
            "price": np.concatenate([day.price for day in days]),
            "sales_channel_id": np.concatenate([day.channel for day in days]),
        }
    )
