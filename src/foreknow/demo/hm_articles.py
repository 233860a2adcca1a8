"""The catalogue of the H&M-shaped shop: the articles table and what only the generator knows of each article.

A *product* comes in one or several *articles* (its colours), which share the product code, name, type,
department and description. The hierarchies of the real data hold: product type -> garment group, department ->
section -> index -> index group, and every number has one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foreknow.demo.hm_database import COLUMNS
from foreknow.demo.hm_garments import DETAILS, GARMENT_GROUPS, MATERIALS, WOMEN_ONLY
from foreknow.demo.hm_shop import (
    APPEARANCES,
    COLOURS,
    DEPARTMENT_LINES,
    GIVEN_NAMES,
    INDEX_GROUPS,
    INDEXES,
    MASTERS,
    SECTIONS,
    VALUES,
)

__all__ = ["NUM_TASTES", "TASTE_AGES", "Catalogue", "make_catalogue"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_Columns = dict[str, NDArray[Any]]

NUM_TASTES = 24
"""Taste groups: neighbouring sections of the shop share one, and with it a palette and favourite patterns."""

_SECTION_TASTES = np.arange(len(SECTIONS)) * NUM_TASTES // len(SECTIONS)

TASTE_AGES: Floats = np.bincount(_SECTION_TASTES, [INDEXES[s.index].age for s in SECTIONS]) / np.bincount(
    _SECTION_TASTES
)
"""Age in years of the typical customer of each taste group."""

_GROUPS = list(GARMENT_GROUPS)
_TYPES = [(t, p, g) for g, group in GARMENT_GROUPS.items() for p, types in group.types.items() for t in types]
_TYPE_GARMENT = np.array([_GROUPS.index(g) for _, _, g in _TYPES])
_COLOUR_MASTER = np.array([MASTERS.index(c.master) for c in COLOURS])
_CURRENCY = 760.0  # the data set's prices are list prices divided by this


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The articles, ordered by article_id; every array has one value per article."""

    table: Any  # pyarrow.Table with the columns of articles
    product: Ints  # index of the product; its articles stand side by side
    kind: Ints  # index of the product type
    taste: Ints  # taste group
    quality: Floats  # mean 0, spread 1; bad articles make customers pause or quit
    appeal: Floats  # popularity at launch, power-law
    launch: Floats  # day of launch; negative for articles older than the data
    fade: Floats  # days in which the appeal falls to 1/e
    season: Floats  # > 0 sells in summer, < 0 in winter
    price: Floats  # list price on the data set's scale


@dataclass(frozen=True, kw_only=True)
class _Department:
    number: int
    name: str
    section: int
    garment: str


def make_catalogue(num_articles: int, num_departments: int, rng: np.random.Generator) -> Catalogue:
    """Invent the articles.

    Args:
        num_articles: How many articles.
        num_departments: In how many departments at most (250 in the real data).
        rng: Source of randomness.
    """
    product = np.repeat(np.arange(num_articles), rng.geometric(0.45, num_articles).clip(max=12))[:num_articles]
    n = int(product[-1]) + 1
    first = np.flatnonzero(np.diff(product, prepend=-1))
    number = np.arange(num_articles) - first[product] + 1  # of the colour among the product's, from 1

    # Products: their codes rise with the day of launch.
    code = 100_000 + np.sort(rng.choice(900_000, n, replace=False))
    launch, fade = _lives(n, rng)
    departments = _departments(num_departments)
    weight = rng.gamma(1.0, 1.0, len(departments)) + 0.2
    department = rng.choice(len(departments), n, p=weight / weight.sum())
    kind = _kinds(departments, department, rng)
    quality = _qualities(kind, rng)
    texts = _texts(kind, rng)
    price = _list_prices(kind, quality, rng)
    season = np.array([group.season for group in GARMENT_GROUPS.values()])[_TYPE_GARMENT[kind]]
    product_appeal = rng.pareto(1.8, n) + 0.1

    # Articles: the colours of each product, the first at its launch and the others in the weeks after.
    taste = _SECTION_TASTES[np.array([d.section for d in departments])[department]][product]
    colour, appearance = _looks(taste, rng)
    columns = {
        "article_id": np.array([f"0{c}{v:03d}" for c, v in zip(code[product], number, strict=True)]),
        "product_code": code[product],
        **{name: values[product] for name, values in texts.items()},
        **_type_columns(kind[product]),
        **_department_columns(departments, department[product]),
        **_numbered("graphical_appearance_no", APPEARANCES, appearance, start=1_010_001),
        **_numbered("colour_group_code", [c.name for c in COLOURS], colour, step=2),
        **_numbered("perceived_colour_value_id", VALUES, _shades(colour, rng)),
        **_numbered("perceived_colour_master_id", MASTERS, _COLOUR_MASTER[colour]),
    }
    return Catalogue(
        table=pa.table({name: pa.array(columns[name], from_pandas=True) for name in COLUMNS["articles"]}),
        product=product,
        kind=kind[product],
        taste=taste,
        quality=quality[product],
        appeal=product_appeal[product] * np.exp(rng.normal(0, 0.6, num_articles)),
        launch=launch[product] + np.where(number > 1, rng.exponential(20, num_articles), 0.0),
        fade=fade[product],
        season=season[product],
        price=price[product],
    )


def _departments(number: int) -> list[_Department]:
    """The first `number` departments: every section's first garment group, then every section's second, ..."""
    found: list[_Department] = []
    for turn in range(len(DEPARTMENT_LINES)):
        for i, section in enumerate(SECTIONS):
            garment = section.garments[turn % len(section.garments)]
            line = DEPARTMENT_LINES[turn // len(section.garments)]
            name = (
                section.name
                if garment == section.garments[0] and garment in section.name
                else f"{section.name} {garment}"
            )
            found.append(
                _Department(number=1000 + 20 * i + turn, name=f"{name} {line}".strip(), section=i, garment=garment)
            )
    return found[:number]


def _kinds(departments: list[_Department], department: Ints, rng: np.random.Generator) -> Ints:
    """Draw a product type that each product's department sells; a garment group's first types are the usual ones."""
    kind = np.zeros(len(department), np.int64)
    for i, dep in enumerate(departments):
        here = np.flatnonzero(department == i)
        section = SECTIONS[dep.section]
        women = section.index in "ABCD" or section.name == "Womens Sport"
        offered = [k for k, (t, _, g) in enumerate(_TYPES) if g == dep.garment and (women or t not in WOMEN_ONLY)]
        weight = 1 / np.arange(1, len(offered) + 1) ** 0.6
        kind[here] = rng.choice(offered, len(here), p=weight / weight.sum())
    return kind


def _lives(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Launch day of each product, in order, and days in which its appeal fades; one in five is evergreen."""
    evergreen = rng.random(n) < 0.2
    launch = np.where(evergreen, rng.uniform(-900, 0, n), rng.uniform(-150, 730, n))
    fade = np.where(evergreen, 700.0, np.exp(rng.normal(4.2, 0.5, n)))
    order = np.argsort(launch, kind="stable")
    return launch[order], fade[order]


def _qualities(kind: Ints, rng: np.random.Generator) -> Floats:
    """Quality of each product: mostly its garment group's, less its product type's, the rest its own."""
    groups = rng.permutation(np.linspace(-1.7, 1.7, len(_GROUPS)))
    types = rng.normal(0, 1, len(_TYPES))
    quality = 0.75 * groups[_TYPE_GARMENT[kind]] + 0.45 * types[kind] + 0.3 * rng.normal(0, 1, len(kind))
    standard: Floats = (quality - quality.mean()) / (quality.std() or 1.0)
    return standard


def _list_prices(kind: Ints, quality: Floats, rng: np.random.Generator) -> Floats:
    """List price of each product, like 19.99 in the shop's currency, on the data set's scale."""
    level = np.array([group.price for group in GARMENT_GROUPS.values()])[_TYPE_GARMENT[kind]]
    level = level * np.exp(rng.normal(0, 0.2, len(_TYPES)))[kind]
    price = level * np.exp(rng.normal(0, 0.35, len(kind))) * (1 + 0.08 * quality)
    listed: Floats = (np.floor(price.clip(1, 400)) + 0.99) / _CURRENCY
    return listed


def _looks(taste: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Colour group and graphical appearance of each article: those of its taste group, or what all wear."""
    drawn = []
    for number, favourites, loyalty in ((len(COLOURS), 5, 0.55), (len(APPEARANCES), 3, 0.45)):
        usual = 1 / np.arange(1, number + 1)
        usual /= usual.sum()
        palette = np.array([rng.choice(number, favourites, replace=False) for _ in range(NUM_TASTES)])
        own = palette[taste, rng.integers(0, favourites, len(taste))]
        drawn.append(np.where(rng.random(len(taste)) < loyalty, own, rng.choice(number, len(taste), p=usual)))
    return drawn[0], drawn[1]


def _shades(colour: Ints, rng: np.random.Generator) -> Ints:
    """Perceived colour value of each article: one of those its colour group allows."""
    allowed = [[VALUES.index(v) for v in c.values] for c in COLOURS]
    sizes = np.array([len(a) for a in allowed])
    padded = np.array([(a * 3)[:3] for a in allowed])
    shade: Ints = padded[colour, (rng.random(len(colour)) * sizes[colour]).astype(np.int64)]
    return shade


def _texts(kind: Ints, rng: np.random.Generator) -> _Columns:
    """Name and description of each product; one description in a hundred is missing."""
    given = rng.integers(0, len(GIVEN_NAMES), len(kind))
    draws = rng.random((len(kind), 3))
    missing = rng.random(len(kind)) < 0.01
    labels, texts = [], []
    for i, k in enumerate(kind):
        name, product_group, garment = _TYPES[k]
        labels.append(f"{GIVEN_NAMES[given[i]]} {name.lower()}")
        materials = MATERIALS.get(product_group, GARMENT_GROUPS[garment].materials)
        details = DETAILS[product_group]
        one = int(draws[i, 1] * len(details))
        other = (one + 1 + int(draws[i, 2] * (len(details) - 1))) % len(details)
        material = materials[int(draws[i, 0] * len(materials))]
        text = f"{name} in {material} with {details[one]} and {details[other]}."
        texts.append(None if missing[i] else text)
    return {"prod_name": np.array(labels, object), "detail_desc": np.array(texts, object)}


def _numbered(column: str, names: Sequence[str], index: Ints, *, start: int = 1, step: int = 1) -> _Columns:
    """A number column and the name column that goes with it."""
    stem = column.rsplit("_", 1)[0]
    return {column: start + step * index, f"{stem}_name": np.array(names)[index]}


def _type_columns(kind: Ints) -> _Columns:
    return {
        **_numbered("product_type_no", [t for t, _, _ in _TYPES], kind, start=50, step=3),
        "product_group_name": np.array([p for _, p, _ in _TYPES])[kind],
        **_numbered("garment_group_no", _GROUPS, _TYPE_GARMENT[kind], start=1001),
    }


def _department_columns(departments: list[_Department], department: Ints) -> _Columns:
    section = np.array([d.section for d in departments])[department]
    indexes = [INDEXES[s.index] for s in SECTIONS]
    return {
        "department_no": np.array([d.number for d in departments])[department],
        "department_name": np.array([d.name for d in departments])[department],
        **_numbered("section_no", [s.name for s in SECTIONS], section, start=2),
        "index_code": np.array([s.index for s in SECTIONS])[section],
        "index_name": np.array([i.name for i in indexes])[section],
        "index_group_no": np.array([i.group for i in indexes])[section],
        "index_group_name": np.array([INDEX_GROUPS[i.group] for i in indexes])[section],
    }
