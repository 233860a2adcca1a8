"""What an audit promises whatever it finds: it can be allowed by name, is the same each time, and stops a training."""

import json

import pytest

from foreknow.errors import ConfigError, Finding, TaskError
from foreknow.task.audit import FINDINGS, Audit, check_allowed
from foreknow.task.audit.names import apply_allowed

COPY = Finding(name="label-copy", table="customers", column="churned", message="it is the label")
DATES = Finding(name="future-dates", severity="warning", table="sales", column="sold", message="9999")


@pytest.mark.parametrize("allow", ["label-copy", "label-copy:customers", "label-copy:customers.churned"])
def test_an_allowed_finding_stops_nothing_but_is_kept(allow):
    findings, allowed = apply_allowed([COPY, DATES], check_allowed([allow]))
    assert [(f.name, f.severity) for f in findings] == [("label-copy", "info"), ("future-dates", "warning")]
    assert allowed == [COPY]
    Audit(task="Churn", findings=tuple(findings), allowed=tuple(allowed)).raise_errors()


@pytest.mark.parametrize("allow", ["future-dates", "label-copy:sales", "label-copy:customers.age"])
def test_allowing_something_else_leaves_the_error(allow):
    findings, _ = apply_allowed([COPY], check_allowed([allow]))
    with pytest.raises(TaskError, match=r"audit of task 'Churn' .*--allow label-copy\): table 'customers'"):
        Audit(task="Churn", findings=tuple(findings)).raise_errors()


def test_unknown_names_are_told_together_with_near_matches():
    with pytest.raises(ConfigError) as e:
        check_allowed(["label-cpy:customers", "nothing", "late-rows"])
    assert "2 problems" in str(e.value)
    assert "did you mean 'label-copy'" in str(e.value)
    assert "'nothing'" in str(e.value)


def test_a_summary_counts():
    assert Audit(task="t", findings=(COPY, DATES), allowed=(COPY,)).summary() == "1 error, 1 warning, 1 allowed"


def test_the_same_data_gives_the_same_audit_whatever_the_order_of_rows(audit):
    sql = "CREATE OR REPLACE TABLE customers AS SELECT *, hash(customer_id) % 7 AS luck FROM customers"
    sql += '; UPDATE visits SET "at" = TIMESTAMP \'2300-01-01\' WHERE hash("at") % 100 = 0;'
    first = audit(sql, tables={"customers": {"columns": {"luck": "numerical"}}}).to_dict()
    shuffled = sql + "CREATE OR REPLACE TABLE sales AS FROM sales ORDER BY hash(sold, note);"
    again = audit(shuffled, tables={"customers": {"columns": {"luck": "numerical"}}}).to_dict()
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    assert first["rows"] > 1000
    json.dumps(first)


def test_names_of_columns_and_tables_may_be_anything(find):
    """Among them the names the audit's own SQL uses."""
    names = [
        "r",
        "i",
        "t",
        "k0",
        "v0",
        "n",
        "cut",
        "seed",
        "seen_rows",
        "file",
        'x"; DROP TABLE y',
        "row",
        "wanted_row",
    ]
    quoted = [n.replace('"', '""') for n in names]
    added = ", ".join(f'hash(customer_id, {i}) % 5 AS "{n}"' for i, n in enumerate(quoted))
    sql = "".join(f"CREATE OR REPLACE TABLE {t} AS SELECT *, {added} FROM {t};" for t in ("customers", "sales"))
    columns = {"columns": dict.fromkeys(names, "numerical")}
    assert find(sql, tables={"customers": columns, "sales": columns}) == set()


def test_every_finding_has_a_name_in_the_catalogue(audit):
    report = audit('UPDATE visits SET "at" = TIMESTAMP \'2300-01-01\' WHERE hash("at") % 100 = 0;')
    assert {f.name for f in report.findings} <= set(FINDINGS)
    assert {f.name for f in report.findings} == {"future-dates", "always-visible"}
