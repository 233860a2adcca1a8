"""What changed between training and now."""

import pytest

from foreknow.schema.diff import diff_schema
from foreknow.schema.table import Column, Schema, Table
from foreknow.testing.toy import toy_schema
from foreknow.types import Stype


def now(**changes):
    """Types by table and column as they are now: those of the toy, with tables replaced (None: gone)."""
    columns = {t.name: {c.name: c.dtype for c in t.columns} for t in toy_schema()}
    return {k: v for k, v in {**columns, **changes}.items() if v is not None}


def without(table, *names, **added):
    return {c: d for c, d in now()[table].items() if c not in names} | added


def lines(columns, schema=None):
    return [f"{f.severity} {f}" for f in diff_schema(schema or toy_schema(), columns)]


def test_nothing_changed():
    assert lines(now()) == []


def test_a_missing_table_and_a_renamed_one():
    assert lines(now(articles=None)) == ["error table 'articles': - the table is gone"]
    assert lines(now(customers=None, Customer=now()["customers"])) == [
        "error table 'customers': - the table is gone\n  Hint: was it renamed to 'Customer'?",
        "info table 'Customer': + the table is new; the model doesn't use it",
    ]


def test_a_missing_column_and_a_renamed_one():
    assert lines(now(customers=without("customers", "age"))) == [
        "error table 'customers', column 'age': - age BIGINT is gone"
    ]
    assert lines(now(customers=without("customers", "age", Age="BIGINT"))) == [
        "error table 'customers', column 'age': - age BIGINT is gone\n  Hint: was it renamed to 'Age'?",
        "info table 'customers', column 'Age': + Age BIGINT is new; the model doesn't use it",
    ]


def test_keys_and_times_are_needed_too():
    gone = diff_schema(toy_schema(), now(transactions=without("transactions", "ts", "customer_id")))
    assert [(f.name, f.column) for f in gone] == [("missing-column", "customer_id"), ("missing-column", "ts")]


def test_ignored_and_derived_columns_are_not_looked_for():
    schema = toy_schema().with_stype("customers", "age", Stype.IGNORE)
    assert lines(now(customers=without("customers", "age")), schema) == []
    assert lines(now(customers=without("customers", age="VARCHAR")), schema) == []
    derived = Table(name="t", columns=(Column(name="d", stype=Stype.NUMERICAL, dtype="BIGINT", sql="1"),))
    assert lines({"t": {"other": "DATE"}}, Schema({"t": derived})) == [
        "info table 't', column 'other': + other DATE is new; the model doesn't use it"
    ]


@pytest.mark.parametrize(
    ("then", "later", "same"),
    [
        ("BIGINT", "INTEGER", True),
        ("BIGINT", "DOUBLE", True),
        ("DECIMAL(9,2)", "UTINYINT", True),
        ("HUGEINT", "FLOAT", True),
        ("DATE", "TIMESTAMP WITH TIME ZONE", True),
        ("TIMESTAMP_NS", "TIMESTAMP", True),
        ("FLOAT[3]", "DOUBLE[]", True),
        ("VARCHAR", "VARCHAR", True),
        ("BIGINT", "VARCHAR", False),
        ("VARCHAR", "DATE", False),
        ("BOOLEAN", "BIGINT", False),
        ("FLOAT[]", "FLOAT", False),
        ("VARCHAR[]", "BIGINT[]", False),
        ("FLOAT[][]", "FLOAT[]", False),
    ],
)
def test_types_of_one_kind_are_interchangeable(then, later, same):
    schema = Schema({"t": Table(name="t", columns=(Column(name="a", stype=Stype.NUMERICAL, dtype=then),))})
    expected = [] if same else [f"error table 't', column 'a': ~ a was {then}, now is {later}"]
    assert lines({"t": {"a": later}}, schema) == expected
