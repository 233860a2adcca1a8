"""What columns mean: each rule with a case for and a case against."""

from __future__ import annotations

import pytest

from foreknow.schema.infer import Inference
from foreknow.testing.inference import infer, rows


def infer_column(value: str, name: str = "c", n: int = 1000) -> Inference:
    """One column of a table of `n` rows, numbered ``i``, beside its key."""
    return infer(t=rows(n, f"i AS id, 1.5 * i AS first, {value} AS {name}"))


def meaning(value: str, name: str = "c", n: int = 1000) -> str:
    return str(infer_column(value, name, n).schema["t"][name].stype)


def note_names(found: Inference) -> set[str]:
    return {n.name for n in found.notes if n.column not in ("id", "first")}


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("printf('%05d', i % 90)", "zip", "categorical"),  # zeros are part of the code
        ("printf('%05d', i % 90)", "region", "categorical"),
        ("md5((i % 90)::VARCHAR)", "postal", "categorical"),  # hexadecimal, repeated
        ("md5((i % 990)::VARCHAR)", "trace", "ignore"),  # hexadecimal, nearly all different
        ("printf('%08x', i % 600)", "device", "ignore"),
        ("['NA', 'AL', 'NL'][1 + i % 3]", "league", "categorical"),
        ("printf('%.2f', i / 7)", "price", "numerical"),  # quoted numbers
        ("(i % 400)::VARCHAR", "amount", "numerical"),
        ("(i % 400)::VARCHAR", "shelf", "categorical"),  # digits may be codes
        ("(1000 + i % 400)::VARCHAR", "product_code", "categorical"),
        ("i % 12", "level", "categorical"),  # few whole numbers
        ("i % 300", "level", "numerical"),
        ("1990 + i % 30", "model_year", "categorical"),  # a year is a moment
        ("1990 + i % 30", "weight", "numerical"),
        ("10000000 + i * 7919", "account", "ignore"),  # looks like an id
        ("10000000 + i * 7919", "amount", "numerical"),
        ("10000000 + i % 50 * 7919", "x", "numerical"),  # repeats: no id
        ("i % 7", "store_id", "categorical"),
        ("i * 3", "x", "numerical"),
        ("i % 2 = 0", "active", "boolean"),
    ],
)
def test_meaning_follows_from_values_and_names(value: str, name: str, expected: str) -> None:
    assert meaning(value, name) == expected


@pytest.mark.parametrize(("n", "expected"), [(2000, "categorical"), (40, "numerical")])
def test_few_whole_numbers_are_categories_only_if_each_repeats(n: int, expected: str) -> None:
    assert meaning("i % 15", "w", n) == expected


def test_doubtful_types_have_alternatives() -> None:
    (ranking,) = [r for r in infer_column("i % 15", "w").of("t", "w") if r.subject == "type"]
    assert [str(p.value) for p in ranking.proposals] == ["categorical", "numerical"]
    first, second = ranking.proposals
    assert first.confidence > second.confidence > 0


def test_na_is_kept_as_data_and_mentioned() -> None:
    found = infer_column("['NA', 'AL', 'NL'][1 + i % 3]", "league")
    (note,) = [n for n in found.notes if n.name == "maybe-missing"]
    assert note.message == "33.4% of its values may stand for 'missing' (e.g. 'NA'); they are kept as values"
    assert "maybe-missing" not in note_names(infer_column("['XA', 'AL'][1 + i % 2]", "league"))


def test_years_with_others_that_stand_for_unknown_are_years() -> None:
    found = infer_column("if(i % 50 = 0, 0, 1990 + i % 5)", "year_built")
    assert str(found.schema["t"]["year_built"].stype) == "categorical"
    assert "strange-years" in note_names(found)
    assert "strange-years" not in note_names(infer_column("1990 + i % 30", "year_built"))


def test_numbers_in_texts_are_mentioned() -> None:
    assert "numbers-as-text" in note_names(infer_column("printf('%.2f', i / 7)", "price"))
