"""Random queries: well-typed ones agree with the reference, broken ones end in a clear error."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.errors import QueryError, TaskError
from foreknow.task.query.bind import bind
from foreknow.task.query.compile import compile_labels, compile_scoring
from foreknow.task.query.explain import explain
from foreknow.task.query.parse import parse

from . import reference

SCHEMA = reference.schema()
SEEDS = [int((s - reference.dt.datetime(1970, 1, 1)).total_seconds()) for s in reference.SEEDS]
connect = functools.cache(reference.connect)
seeds = st.integers(0, 2**40)
QUICK, MANY = 300, 1_000


def run(connection, text):
    bound = bind(parse(text), SCHEMA)
    assert explain(bound)
    if not bound.is_static:
        connection.execute(compile_scoring(bound, SCHEMA, SEEDS[0], ids=bool(bound.query.entity.ids))).fetchall()
    return connection.execute(compile_labels(bound, SCHEMA, SEEDS)).fetchall()


def check_meaning(which, seed):
    connection, rows = connect(which)
    text = reference.Writer(seed).query()
    expected = reference.Meaning(parse(text), rows).labels()
    found = [(t, i, v) for i, t, v in run(connection, text)]
    assert [r[:2] for r in found] == [r[:2] for r in expected], text
    for (_, _, value), (_, _, meant) in zip(found, expected, strict=True):
        assert value == (pytest.approx(meant) if isinstance(meant, float) else meant), text


def check_broken(which, seed, other):
    connection, _ = connect(which)
    text = reference.broken(reference.Writer(seed).query(), other)
    error = None
    try:
        run(connection, text)
    except (QueryError, TaskError) as e:
        error = e
    if error is not None:
        assert str(error).startswith(f"QueryError {error.code} at line {error.line}, column {error.column}: ")


@settings(max_examples=QUICK, deadline=None)
@given(st.integers(0, 3), seeds)
def test_well_typed_queries_run_and_mean_what_the_reference_says(which, seed):
    check_meaning(which, seed)


@settings(max_examples=QUICK, deadline=None)
@given(st.integers(0, 3), seeds, seeds)
def test_broken_queries_end_in_a_query_error(which, seed, other):
    check_broken(which, seed, other)


@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(st.integers(0, 20), seeds)
def test_a_thousand_well_typed_queries(which, seed):
    check_meaning(which, seed)


@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(st.integers(0, 20), seeds, seeds)
def test_a_thousand_broken_queries(which, seed, other):
    check_broken(which, seed, other)


@settings(max_examples=MANY, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_query_or_a_query_error(text):
    error = None
    try:
        parse(text)
    except QueryError as e:
        error = e
    assert error is None or error.code in ("Q00", "Q01", "Q02")
