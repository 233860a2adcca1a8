"""The guide's examples are accepted, run on the toy shop, and nothing the language has is missing from it."""

import re
from pathlib import Path

import pytest

from foreknow.project import QueryTaskFile
from foreknow.task.query.bind import bind
from foreknow.task.query.bound import Function
from foreknow.task.query.compile import compile_labels, compile_scoring
from foreknow.task.query.duration import UNITS
from foreknow.task.query.parse import parse
from foreknow.testing.toy import SEED_TIMES, toy_schema

GUIDE = (Path(__file__).parents[3] / "docs" / "predictive-query.md").read_text()
EXAMPLES = re.findall(r"```predictive-query\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guide_has_examples():
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_run(shop, text):
    bound = bind(parse(text), toy_schema())
    assert shop.execute(compile_labels(bound, toy_schema(), SEED_TIMES)).fetchall()
    scoring = compile_scoring(bound, toy_schema(), SEED_TIMES[1], ids=bool(bound.query.entity.ids))
    shop.execute(scoring)


def test_every_function_unit_and_setting_is_told():
    words = set(re.findall(r"\w+", GUIDE))
    assert words >= {*Function, *(f"{u}s" for u in UNITS)}
    assert words >= set(QueryTaskFile.model_fields) - {"metric", "inclusive", "context_until", "allow"}
