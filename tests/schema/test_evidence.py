from __future__ import annotations

import json

import pytest

from foreknow.schema.evidence import Proposal, Ranking, Reason, Subject, ranked
from foreknow.schema.name import entity_of, is_later, stem, time_score, words
from foreknow.schema.shape import date_sql
from foreknow.types import Stype


def proposal(weight: float, value: tuple[str, ...] = ("id",), kind: str = "unique") -> Proposal:
    return Proposal(value=value, reasons=(Reason(kind=kind, text="so", weight=weight),))  # type: ignore[arg-type]


def ranking(*weights: float, subject: Subject = "link", **more: bool) -> Ranking:
    return Ranking(subject=subject, table="t", proposals=ranked(proposal(w) for w in weights), **more)


def test_confidence_is_the_logistic_of_the_weights_and_one_only_if_declared() -> None:
    assert proposal(0.0).confidence == 0.5
    assert proposal(2.0).confidence == pytest.approx(0.8808, abs=1e-4)
    assert proposal(-2.0).confidence == pytest.approx(1 - 0.8808, abs=1e-4)
    assert proposal(100.0).confidence < 1.0
    assert proposal(-5.0, kind="declared").confidence == 1.0


@pytest.mark.parametrize(
    ("weights", "is_taken", "is_open"),
    [
        ((3.0,), True, False),
        ((3.0, 2.5), True, True),  # two about as good
        ((3.0, 2.0), True, False),
        ((0.3,), True, True),  # likelier than not, but not sure
        ((-0.3,), False, True),  # worth asking
        ((-1.0,), False, False),
        ((), False, False),
    ],
)
def test_what_is_unsure_or_contested_is_a_question(weights: tuple[float, ...], is_taken: bool, is_open: bool) -> None:
    found = ranking(*weights)
    assert (found.best is not None, found.is_open) == (is_taken, is_open)
    assert not ranking(*weights, never_open=True).is_open


def test_two_keys_of_one_table_do_not_contradict_each_other() -> None:
    assert not ranking(3.0, 2.9, subject="key").is_open
    assert ranking(0.3, subject="key").is_open
    assert not ranking(-0.3, subject="key").is_open


def test_types_are_asked_about_only_if_another_is_about_as_good() -> None:
    assert not ranking(0.0, -2.0, subject="type").is_open
    assert ranking(0.0, -0.5, subject="type").is_open
    assert ranking(-2.0, subject="type").best is not None, "every column means something"


def test_evidence_survives_json() -> None:
    value = Ranking(
        subject="type", table="t", columns=("c",), proposals=(Proposal(value=Stype.TEXT, reasons=proposal(1).reasons),)
    ).to_dict()
    assert json.loads(json.dumps(value)) == value
    assert value["proposals"][0] == {
        "value": "text",
        "confidence": 0.731,
        "reasons": [{"kind": "unique", "text": "so", "weight": 1}],
    }


def test_reasons_are_told_the_heaviest_first() -> None:
    reasons = tuple(
        Reason(kind=k, text=t, weight=w)  # type: ignore[arg-type]
        for k, t, w in [("prior", "hidden", -3.0), ("name", "a little", 0.5), ("unique", "much", -2.0)]
    )
    assert Proposal(value=("x",), reasons=reasons).why == "much; a little"


def test_names_are_read_in_their_many_spellings() -> None:
    assert words("teamIDwinner") == ("team", "id", "winner")
    assert stem("customerId") == stem("customer_no") == "customer"
    assert stem("name") == ""
    assert entity_of("dim_order_items").fit("item") == 2
    assert is_later("updatedAt")
    assert not is_later("created_at")
    assert (time_score("created_at"), time_score("shipped_date"), time_score("moment")) == (2, 1, 0)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"date-iso": 1.0}, "TRY_CAST(c AS TIMESTAMP)"),
        ({"date-iso": 1.0, "offset": 0.5}, "TRY_CAST(c AS TIMESTAMPTZ)::TIMESTAMP"),
        ({"date-compact": 1.0, "digits": 1.0}, "try_strptime(c, '%Y%m%d')"),
        ({"date-iso": 0.5}, None),
        ({}, None),
    ],
)
def test_texts_that_are_dates_are_read_by_sql(shares: dict[str, float], expected: str | None) -> None:
    found = date_sql("c", shares)
    assert (found and found[0]) == expected


def test_dates_in_several_spellings_are_read_together() -> None:
    found = date_sql("c", {"date-iso": 0.6, "date-dotted": 0.4})
    assert found is not None
    assert found[0].startswith("coalesce(TRY_CAST(c AS TIMESTAMP), try_strptime(c, ['%d.%m.%Y', ")
    assert found[1] == ["YYYY-MM-DD", "DD.MM.YYYY"]
