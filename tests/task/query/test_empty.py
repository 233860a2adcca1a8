"""What a condition says without any row, found out without data: the filters that may drive the last join."""

import pytest

from foreknow.task.query.bind import bind
from foreknow.task.query.compile import compile_labels
from foreknow.task.query.empty import is_true_when_empty
from foreknow.task.query.parse import parse
from foreknow.testing.toy import SEED_TIMES, toy_schema

EACH = " FOR EACH customers.customer_id"
N, S, A = "COUNT(transactions.*, -7, 0)", "SUM(transactions.price, -7, 0)", "AVG(transactions.price, -7, 0)"
E, L = "EXISTS(transactions.*, -7, 0)", "LIST_DISTINCT(transactions.channel, -7, 0)"


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        (f"{N} > 0", False),
        (f"{N} = 0", True),
        (f"{N} >= 0", True),
        (f"{N} != 3", True),
        (f"{N} IN (0, 1)", True),
        (f"{N} NOT IN (0, 1)", False),
        (f"{N} BETWEEN -1 AND 1", True),
        (f"{S} < 1", True),
        (f"{S} IS NULL", True),
        (f"{S} IS NOT NULL", False),
        (f"{A} > 1", None),
        (f"{A} IN ()", False),
        (f"{A} NOT IN ()", True),
        (E, False),
        (f"{E} = FALSE", True),
        (f"{E} != FALSE", False),
        (f"NOT {E}", True),
        (f"{L} CONTAINS 'x'", False),
        (f"{L} NOT CONTAINS 'x'", True),
        (f"{N} > 0 OR {A} > 1", None),
        (f"{N} > 0 AND {A} > 1", False),
        (f"{N} = 0 OR {A} > 1", True),
        (f"{N} = 0 AND {A} > 1", None),
        (f"NOT {A} > 1", None),
    ],
)
def test_conditions_without_rows(shop, condition, truth):
    """And DuckDB agrees."""
    bound = bind(parse(f"PREDICT COUNT(transactions.*, 0, 7){EACH} WHERE {condition}"), toy_schema())
    assert is_true_when_empty(bound.where) is truth
    shop.execute("DELETE FROM transactions WHERE ts <= '2024-03-01'")
    kept = shop.execute(compile_labels(bound, toy_schema(), SEED_TIMES)).fetchall()
    assert bool(kept) is (truth is True)
