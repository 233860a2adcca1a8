import dataclasses
import json

import pytest

from foreknow.errors import TaskError
from foreknow.task.task import EntityTask, check_task, is_query
from foreknow.testing.toy import toy_schema
from foreknow.types import TaskType

BUYS = EntityTask(
    name="Buys",
    type=TaskType.BINARY,
    entity_table="customers",
    entity_columns=("customer",),
    entity_key=("customer_id",),
    label="buys",
    time="at",
    metric="roc_auc",
    tables={"train": "buys_train", "validation": "SELECT 1"},
    inclusive=False,
    context_until=1706659200,
    known=("age",),
)


def task(**changes):
    return dataclasses.replace(BUYS, **changes)


def problems(schema=None, **changes):
    with pytest.raises(TaskError, match=r"^task 'Buys': ") as caught:
        check_task(task(**changes), schema or toy_schema())
    return [(f.name, str(f)) for f in caught.value.findings]


def test_a_task_survives_json():
    assert EntityTask.from_dict(json.loads(json.dumps(BUYS.to_dict()))) == BUYS


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "select*from t",
        "  \n WITH a AS (SELECT 1) FROM a",
        "FROM t",
        'from "t"',
        "(SELECT 1)",
        "VALUES (1, 2)",
        "-- churn\nSELECT 1",
        "/* of\nchurn */ SELECT 1",
    ],
)
def test_sql_is_known_by_its_first_word(text):
    assert is_query(text)


@pytest.mark.parametrize(
    "text", ["churn_train", "select", "selected", "from_2020", "with-drawals", "t (2020)", "FROM", ""]
)
def test_everything_else_names_a_table(text):
    assert not is_query(text)


def test_a_sound_task_passes():
    check_task(BUYS, toy_schema())


def test_the_entity_table_is_in_the_schema():
    assert problems(entity_table="customer") == [
        (
            "unknown-table",
            "the entity table 'customer' is not in the schema\n"
            "  Hint: did you mean 'customers'? Tables: articles, customers, transactions.",
        )
    ]


def test_the_entity_is_named_by_a_key():
    (found,) = problems(entity_columns=("age",), entity_key=("age",))
    assert found == (
        "not-a-key",
        "(age) is not a key of 'customers'\n"
        "  Hint: its keys are: (customer_id). Add it under key: or keys: of the table if it names one row",
    )
    keyless = toy_schema()
    keyless = keyless.replace(customers=dataclasses.replace(keyless["customers"], primary_key=()))
    (found,) = problems(keyless)
    assert "Hint: its keys are: none. Add it" in found[1]


def test_the_columns_of_a_composite_key_may_come_in_any_order():
    schema = toy_schema()
    schema = schema.replace(customers=dataclasses.replace(schema["customers"], primary_key=("customer_id", "tier")))
    check_task(task(entity_columns=("t", "c"), entity_key=("tier", "customer_id")), schema)
    (found,) = problems(schema)
    assert "its keys are: (customer_id, tier)." in found[1]


def test_key_and_known_columns_are_columns_of_the_entity_table():
    names = [name for name, _ in problems(entity_key=("customerid",), known=("age", "Tier"))]
    assert names == ["unknown-column", "unknown-column", "not-a-key"]
    (known,) = problems(known=("Tier",))
    assert known[1].startswith("table 'customers' has no column 'Tier'\n  Hint: did you mean 'tier'? Columns: ")


def test_splits_are_train_validation_and_test():
    (found,) = problems(tables={"train": "a", "val": "b"})
    assert found == (
        "unknown-split",
        "there is no split 'val'\n  Hint: did you mean 'validation'? Splits: test, train, validation.",
    )


def test_the_metric_suits_the_type():
    (found,) = problems(metric="mae")
    assert found[0] == "metric"
    assert "mae" in found[1]
    assert "roc_auc" in found[1]


def test_all_problems_are_told_at_once():
    found = problems(entity_table="x", metric="x", tables={"x": "a", "y": "b"})
    assert [name for name, _ in found] == ["unknown-table", "unknown-split", "unknown-split", "metric"]
