"""Two years of shopping, simulated day by day: who visits, what is in the basket, and who comes back.

Days are the outer loop and all of a day's visitors are handled at once, so rows come out in date order and memory
holds the customers' state, not the history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknow.demo.hm_articles import NUM_TASTES, Catalogue
from foreknow.demo.hm_customers import NUM_DAYS, Customers

__all__ = ["Purchases", "shop"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BASKET_P = 0.4  # baskets are geometric: 1 / 0.4 = 2.5 articles on average
BASKET_MAX = 15
FIRST_TASTE = 0.6  # share of baskets in the customer's first taste group,
SECOND_TASTE = 0.3  # and in the second; the rest is anything
BASKET_TASTE = 0.85  # share of a basket's articles that follow its taste
SIBLING = 0.12  # chance that the next article in a basket is another colour of the one before
REPEAT = 0.2  # chance to buy again an article bought on an earlier visit
MEMORY = 8  # articles a customer remembers
QUIT = 0.06  # mean chance to quit after a visit
PAUSE = 0.25  # mean chance of a long pause after a visit
BITE = 2.7  # how sharply both fall with the basket's quality
PAUSE_DAYS = (10.0, 60.0)
SOON_DAYS = 2.5  # mean days to a next visit that follows soon
SEASON = 1.0  # strength of summer and winter goods' seasons
TREND = 0.12  # weekly step of a product type's popularity (log scale)

TRIAL = 50_000  # customers in the trial that sets the pace

_NEVER = np.iinfo(np.int16).max
_YEAR = 365.25
_MIDSUMMER = 300.0  # day of the data that is 2019-07-17


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """The rows of one day, by customer; every array has one value per row."""

    day: int  # days since 2018-09-20
    customer: Ints  # row of the customer
    article: Ints  # row of the article
    price: Floats
    channel: Ints  # 1 shop, 2 online


def shop(
    catalogue: Catalogue, customers: Customers, num_transactions: int, rng: np.random.Generator
) -> Iterator[Purchases]:
    """Simulate the purchases, one day at a time.

    Args:
        catalogue: What can be bought.
        customers: Who buys.
        num_transactions: About how many rows to aim for in all.
        rng: Source of randomness.
    """
    shelves = _Shelves(catalogue, rng)
    # A trial with the first customers (their ids are random) tells how far the formula is off in this catalogue.
    trial = customers.head(TRIAL)
    pace = _pace(customers, num_transactions)
    rows = sum(len(day.customer) for day in _visits(shelves, trial, pace, rng))
    aim = num_transactions * _expected(trial, pace) / max(rows, 1)
    yield from _visits(shelves, customers, _pace(customers, aim), rng)


def _visits(shelves: _Shelves, customers: Customers, pace: float, rng: np.random.Generator) -> Iterator[Purchases]:
    catalogue = shelves.catalogue
    rate = customers.rate * pace
    # New customers come as they start; the old ones are somewhere between two visits.
    first = np.where(customers.start > 0, customers.start, _cycle(customers, pace) * rng.exponential(1.0, len(rate)))
    due = first.clip(max=_NEVER - 1).astype(np.int16)
    remembered = np.full((len(rate), MEMORY), -1, np.int32)
    for day in range(NUM_DAYS):
        if day % 7 == 0:
            shelves.restock(day)
        who = np.flatnonzero(due == day)
        size = rng.geometric(BASKET_P, len(who)).clip(max=BASKET_MAX)
        visit = np.repeat(np.arange(len(who)), size)
        customer = who[visit]
        article = _fill_baskets(shelves, customers.tastes[who], visit, rng)
        slot = rng.integers(0, MEMORY, len(visit))
        earlier = remembered[customer, slot]
        again = (rng.random(len(visit)) < REPEAT) & (earlier >= 0)
        article = np.where(again, earlier, article)
        remembered[customer, rng.integers(0, MEMORY, len(visit))] = article
        yield Purchases(
            day=day,
            customer=customer,
            article=article,
            price=_prices(catalogue, article, day, rng),
            channel=_channels(customers.age[who], rng)[visit],
        )
        quality = np.bincount(visit, catalogue.quality[article], len(who)) / size
        dismay = 2 / (1 + np.exp(BITE * quality))  # 1 on average
        away = np.where(rng.random(len(who)) < PAUSE * dismay, rng.uniform(*PAUSE_DAYS, len(who)), 0.0)
        quits = rng.random(len(who)) < QUIT * dismay * customers.restless[who]
        due[who] = np.where(quits, _NEVER, _next_day(day + away, rate[who] * _demand(day), customers.keen[who], rng))


class _Shelves:
    """Draws articles of a taste group by their popularity in the current week."""

    def __init__(self, catalogue: Catalogue, rng: np.random.Generator) -> None:
        self.catalogue = catalogue
        weeks = NUM_DAYS // 7 + 1
        steps = rng.normal(0, TREND, (weeks, int(catalogue.kind.max()) + 1))
        self._trend = np.cumsum(steps, axis=0)
        self._order: Ints = np.argsort(catalogue.taste, kind="stable")
        bounds = np.searchsorted(catalogue.taste[self._order], np.arange(NUM_TASTES + 1))
        self._low, self._high = bounds[:-1].copy(), bounds[1:].copy()
        empty = self._low == self._high  # in a tiny catalogue: any article will do
        self._low[empty], self._high[empty] = 0, len(self._order)
        first = np.flatnonzero(np.diff(catalogue.product, prepend=-1))
        self._first = first[catalogue.product]
        self._num_siblings = np.bincount(catalogue.product)[catalogue.product]
        self._total = np.zeros(len(self._order) + 1)

    def restock(self, day: int) -> None:
        """Set popularities for the week from `day` on."""
        c = self.catalogue
        age = day + 3.5 - c.launch
        weight = c.appeal * np.where(age >= 0, np.exp(-age.clip(min=0) / c.fade), 0.0)
        weight *= np.exp(SEASON * c.season * np.cos(2 * np.pi * (day + 3.5 - _MIDSUMMER) / _YEAR))
        weight = weight * np.exp(self._trend[day // 7][c.kind]) + 1e-9
        np.cumsum(weight[self._order], out=self._total[1:])

    def draw(self, taste: Ints, rng: np.random.Generator) -> Ints:
        """Draw one article of each taste group given."""
        low, high = self._low[taste], self._high[taste]
        u = self._total[low] + rng.random(len(taste)) * (self._total[high] - self._total[low])
        place = np.searchsorted(self._total, u, side="right") - 1
        article: Ints = self._order[place.clip(low, high - 1)]
        return article

    def sibling(self, article: Ints, rng: np.random.Generator) -> Ints:
        """Draw a colour of the same product, perhaps the same one."""
        which = (rng.random(len(article)) * self._num_siblings[article]).astype(np.int64)
        colour: Ints = self._first[article] + which
        return colour


def _fill_baskets(shelves: _Shelves, tastes: NDArray[np.int8], visit: Ints, rng: np.random.Generator) -> Ints:
    """Draw the articles of each visit's basket: mostly of one taste, sometimes the same product in two colours."""
    mood = np.searchsorted([FIRST_TASTE, FIRST_TASTE + SECOND_TASTE], rng.random(len(tastes)), side="right")
    anything = rng.integers(0, NUM_TASTES, len(tastes))
    taste = np.choose(mood, [tastes[:, 0], tastes[:, 1], anything])[visit]
    own = tastes[visit, rng.integers(0, 2, len(visit))]
    article = shelves.draw(np.where(rng.random(len(visit)) < BASKET_TASTE, taste, own).astype(np.int64), rng)
    before = np.roll(article, 1)
    same_visit = np.diff(visit, prepend=-1) == 0
    pair = same_visit & (rng.random(len(visit)) < SIBLING)
    return np.where(pair, shelves.sibling(before, rng), article)


def _pace(customers: Customers, num_transactions: float) -> float:
    """The factor on visit rates with which `num_transactions` rows are expected, by bisection."""
    low, high = 1e-5, 1e3
    pace = 1.0
    for _ in range(40):
        pace = (low * high) ** 0.5
        low, high = (pace, high) if _expected(customers, pace) < num_transactions else (low, pace)
    return pace


def _expected(customers: Customers, pace: float) -> float:
    """Rows to expect, as if all baskets were of mean quality: visits of a renewal process with quitting."""
    basket = (1 - (1 - BASKET_P) ** BASKET_MAX) / BASKET_P
    quits = (QUIT * customers.restless).clip(max=0.99)
    visits = (1 - np.exp(-quits * (NUM_DAYS - customers.start) / _cycle(customers, pace))) / quits
    return float(visits.sum() * basket)


def _cycle(customers: Customers, pace: float) -> Floats:
    """Mean days from one visit to the next: the gap, rounded up, and now and then a pause."""
    gap = customers.keen * SOON_DAYS + (1 - customers.keen) / (customers.rate * pace)
    return gap + 0.5 + PAUSE * sum(PAUSE_DAYS) / 2


def _next_day(day: Floats, rate: Floats, keen: Floats, rng: np.random.Generator) -> NDArray[np.int16]:
    soon = rng.random(len(day)) < keen
    gap = rng.exponential(1.0, len(day)) * np.where(soon, SOON_DAYS, 1 / rate)
    return np.ceil(day + gap).clip(min=np.floor(day) + 1, max=_NEVER - 1).astype(np.int16)


def _demand(day: int) -> float:
    """How busy the shop is: most in early summer, least in early winter."""
    return 1 + 0.15 * float(np.cos(2 * np.pi * (day - _MIDSUMMER + 25) / _YEAR))


def _prices(catalogue: Catalogue, article: Ints, day: int, rng: np.random.Generator) -> Floats:
    """List price, less a quarter in the sales of January and July and less a third for what is going out."""
    sale = any(start <= day < start + 28 for start in (99, 280, 464, 646))
    old = day - catalogue.launch[article] > 2.5 * catalogue.fade[article]
    price = catalogue.price[article] * np.where(old, 0.67, 1.0) * (0.75 if sale else 1.0)
    return (price * np.exp(rng.normal(0, 0.03, len(article)))).clip(max=0.59).round(6)


def _channels(age: Floats, rng: np.random.Generator) -> Ints:
    online = 0.45 + 0.4 / (1 + np.exp((age - 42) / 8))  # the young buy online
    return 1 + (rng.random(len(age)) < online).astype(np.int64)
