"""Types of targets, and every error of the language with its place, message and hint."""

# ruff: noqa: E501  # a query and what is said of it stand on one line

import re

import pytest

from foreknow.errors import QueryError
from foreknow.task.query.bind import bind
from foreknow.task.query.parse import parse
from foreknow.task.query.paths import describe_path
from foreknow.types import TaskType

EACH = " FOR EACH customers.customer_id"

# code, query («» around what is underlined, .. for FOR EACH), column, message, start of the hint
ERRORS = [
    ("Q01", "PREDICT COUNT(transactions.*, 0, 7, days) «WHERE» customers.age > 30", 43,
     "expected FOR EACH before WHERE", "add `FOR EACH <table>.<primary key>`"),
    ("Q02", 'PREDICT customers.tier = «"gold"» ..', 26,
     "a text value needs single quotes", "write 'gold'; double quotes name a table or column"),
    ("Q03", "PREDICT COUNT(«transaction».*, 0, 7, days) ..", 15,
     "unknown table 'transaction'", "did you mean 'transactions'?"),
    ("Q04", "PREDICT SUM(transactions.«prise», 0, 7, days) ..", 26,
     "table 'transactions' has no column 'prise'", "did you mean 'price'?"),
    ("Q05", "PREDICT «COUNT_DISTINT»(transactions.article_id, 0, 7, days) ..", 9,
     "unknown function 'COUNT_DISTINT'", "did you mean COUNT_DISTINCT? Functions: AVG, COUNT, "),
    ("Q06", "PREDICT COUNT(transactions.*, 0, 7, «dyas») ..", 37,
     "unknown unit 'dyas'", "did you mean days? For years write 12, months"),
    ("Q07", "PREDICT COUNT(transactions.*, «7», 0, days) ..", 31,
     "the window starts at 7 days and ends at 0 days", "start must be less than end: 0, 7, days"),
    ("Q08", "PREDICT COUNT(transactions.*, «-7», 0, days) ..", 31,
     "a target window cannot lie in the past (starts at -7 days)",
     "targets need start >= 0; put past conditions in WHERE"),
    ("Q09", "PREDICT SUM(transactions.price, 0, 7) .. WHERE COUNT(transactions.*, 0, «7», days) > 0", 101,
     "a WHERE window may not reach past the seed time (ends at +7 days): this would leak the future",
     "use -7, 0, or move it to ASSUMING"),
    ("Q10", "PREDICT «COUNT(transactions.*)» ..", 9, "COUNT needs a window", "add start, end and unit, e.g. 0, 30, days"),
    ("Q11", "PREDICT COUNT(transactions.*, 0, «INF», days) ..", 34,
     "a window may not be open towards the future",
     "no seed time would ever have a complete label; choose an end"),
    ("Q12", "PREDICT SUM(transactions.«channel», 0, 7, days) ..", 26,
     "SUM needs a numeric column; 'channel' is categorical", "COUNT, LAST or LIST_DISTINCT accept it"),
    ("Q13", "PREDICT COUNT(transactions.*, 0, 7, days) FOR EACH customers.«tier»", 62,
     "'tier' is not the primary key of 'customers'", "write FOR EACH customers.customer_id"),
    ("Q14", "PREDICT COUNT(«items».*, 0, 7, days) ..", 15,
     "'items' has no time column, so rows cannot be placed in a window",
     "its parent 'transactions' has 'ts': give items a time column in the source and name it in the schema"),
    ("Q15", "PREDICT COUNT(«articles».*, 0, 7, days) ..", 15,
     "no foreign key path leads from 'articles' to 'customers'",
     "transactions points to both; aggregate transactions"),
    ("Q16", "PREDICT COUNT(«transfers».*, 0, 7, days) ..", 15,
     "2 paths lead from 'transfers' to 'customers': sender_id, receiver_id",
     "choose: COUNT(transfers.* VIA transfers.sender_id, 0, 7, days)"),
    ("Q17", "PREDICT customers.tier .. WHERE customers.age > «'old'»", 77,
     "cannot compare numeric 'age' with the text 'old'", "use a number"),
    ("Q18", "PREDICT customers.age .. WHERE customers.tier = «NULL»", 77, "= NULL is never true", "write IS NULL"),
    ("Q19", "PREDICT SUM(transactions.price, 0, 7) .. WHERE «transactions.channel» = 'web'", 76,
     "a customer has many rows in 'transactions'",
     "EXISTS(transactions.* WHERE transactions.channel = 'web', -30, 0, days)"),
    ("Q20", "PREDICT «LIST_DISTINCT»(transactions.channel, 0, 7, days) ..", 9,
     "LIST_DISTINCT needs CLASSIFY or RANK TOP k", "add one after the closing bracket"),
    ("Q21", "PREDICT «COUNT(transactions.*, 0, 7, days)» AND EXISTS(transactions.*, 7, 14) ..", 9,
     "AND needs a test on each side; COUNT gives a number", "add a comparison, e.g. > 0"),
    ("Q21", "PREDICT «customers.age» > 3 AND EXISTS(transactions.*, 7, 14) ..", 9,
     "a target mixes no columns with aggregations", "move conditions on columns to WHERE"),
    ("Q22", "PREDICT customers.«created_at» ..", 19, "a time column cannot be a target",
     "predict COUNT or EXISTS in a window instead"),
    ("Q23", "PREDICT SUM(transactions.price WHERE «AVG(transactions.price, -7, 0)» > 3, 0, 7) ..", 38,
     "an aggregation cannot stand inside another", "move it to the outer WHERE"),
    ("Q24", "PREDICT SUM(transactions.price, 0, 7) .. ASSUMING «customers.age» > 3", 79,
     "ASSUMING needs an aggregation after the seed time", "move conditions on columns to WHERE"),
    ("Q25", "PREDICT customers.age .. WHERE «COUNT(transactions.*, -30, 0)» > 0", 60,
     "a static target takes static conditions only", "filter on columns, or predict an aggregation"),
    # beyond the table of the description
    ("Q01", "PREDICT customers.age FOR «customers.customer_id»", 27, "expected FOR EACH, or ids after the key", "add `FOR"),
    ("Q08", "PREDICT SUM(transactions.price, 0, 7) .. ASSUMING COUNT(transactions.*, «-7», 0) > 0", 101,
     "an ASSUMING window cannot lie in the past", "ASSUMING needs start >= 0"),
    ("Q15", "PREDICT COUNT(transfers.* VIA «transfers.amount», 0, 7) ..", 31,
     "column 'amount' of 'transfers' is no foreign key", "foreign keys of 'transfers': sender_id, receiver_id"),
    ("Q15", "PREDICT COUNT(transactions.* VIA «transactions.article_id», 0, 7) ..", 34,
     "VIA ends at 'articles', not at 'customers'", "add the keys from 'articles' on"),
    ("Q17", "PREDICT customers.age .. WHERE customers.created_at > «'2024-02-30'»", 83,
     "cannot compare time 'created_at' with the text '2024-02-30'", "use a date"),
    ("Q17", "PREDICT customers.age FOR customers.customer_id IN (1, «'x'»)", 56,
     "cannot compare key 'customer_id' with the text 'x'", "use a number"),
    ("Q17", "PREDICT customers.age .. AS OF «'soon'»", 60, "the text 'soon' is no time", "use a date"),
    ("Q18", "PREDICT «COUNT(transactions.*, 0, 7) IS NULL» ..", 9, "COUNT always has a value", "write = 0"),
    ("Q18", "PREDICT customers.age .. WHERE customers.tier IN ('a', «NULL»)", 84, "NULL in IN is never matched", "remove"),
    ("Q20", "PREDICT COUNT(transactions.*, 0, 7) «CLASSIFY» ..", 37, "CLASSIFY goes with LIST_DISTINCT", "leave it out"),
    ("Q21", "PREDICT COUNT(transactions.*, 0, 7) .. WHERE «customers.age»", 73 + 1,
     "WHERE needs a test; 'age' gives a number", "add a comparison"),
    ("Q22", "PREDICT customers.«customer_id» ..", 19, "a key cannot be a target", "predict COUNT"),
    ("Q22", "PREDICT customers.«note» ..", 19, "free text cannot be a target", "predict COUNT"),
    ("Q25", "PREDICT customers.age .. ASSUMING «COUNT(transactions.*, 0, 30)» > 0", 63, "a static target", "filter"),
    ("Q26", "PREDICT COUNT(transactions.*, 0, «1.5») ..", 34, "a window takes a whole number, not 1.5", "write"),
    ("Q26", "PREDICT customers.age .. EVERY «0» days", 60, "EVERY takes a whole number of at least 1, not 0", "write"),
    ("Q26", "PREDICT COUNT(transactions.*«, 0, 999999999, months») ..", 29, "the window is longer than the calendar", ""),
    ("Q27", "PREDICT AVG(transactions.price, 0, 7) «FORECAST 3 TIMEFRAMES» ..", 39, "FORECAST goes with", "leave it out"),
]  # fmt: skip


def spelt(marked):
    """Query, and place of what is underlined."""
    text = marked.replace("..", EACH.strip())
    start, end = text.index("«"), text.index("»") - 1
    return text.replace("«", "").replace("»", ""), start, end


def ask(text, schema):
    return bind(parse(text), schema)


@pytest.mark.parametrize(("code", "marked", "column", "message", "hint"), ERRORS)
def test_every_error_says_where_what_and_what_to_do(wide_schema, code, marked, column, message, hint):
    text, start, end = spelt(marked)
    assert start + 1 == column
    with pytest.raises(QueryError) as caught:
        ask(text, wide_schema)
    error = caught.value
    assert (error.code, error.line, error.column) == (code, 1, start + 1)
    assert error.hint.startswith(hint)
    (mark,) = error.marks
    assert message in mark.message
    lines = str(error).splitlines()
    assert lines[0] == f"QueryError {code} at line 1, column {start + 1}: {mark.message}."
    assert lines[1] == f"  {text}"
    assert lines[2] == "  " + " " * start + "^" * (end - start)
    assert lines[3].startswith(f"Hint: {hint}")


def test_all_findings_are_raised_once_in_the_order_of_the_text(wide_schema):
    text = "PREDICT SUM(transactions.prise, 7, 0) > 'x' FOR EACH customers.tier WHERE orders.a = 1 AND customers.age = NULL"
    with pytest.raises(QueryError) as caught:
        ask(text, wide_schema)
    assert [f.name for f in caught.value.findings] == ["Q04", "Q07", "Q13", "Q03", "Q18"]
    assert caught.value.code == "Q04"
    assert len(re.findall(r"^QueryError Q", str(caught.value), re.MULTILINE)) == 5


TYPES = [
    ("COUNT(transactions.*, 0, 30, days) = 0", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("EXISTS(transactions.*, 0, 30)", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("NOT EXISTS(transactions.*, 0, 30) OR AVG(transactions.price, 0, 3) > 1", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("COUNT(transactions.*, 0, 30)", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("COUNT_DISTINCT(transactions.article_id, 0, 30)", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("SUM(transactions.price, 0, 30, days)", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("AVG(transactions.price, 0, 30, days)", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("SUM(transactions.price, 0, 7) FORECAST 4 TIMEFRAMES", TaskType.REGRESSION, "DOUBLE[]", "rmse", 4),
    ("LAST(transactions.price, 0, 30)", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("LAST(transactions.channel, 0, 30)", TaskType.MULTICLASS, "VARCHAR", "macro_f1", 1),
    ("FIRST(transactions.channel, 0, 30) = 'web'", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("LIST_DISTINCT(transactions.channel, 0, 30) CLASSIFY", TaskType.MULTILABEL, "VARCHAR[]", "auroc_macro", 1),
    ("LIST_DISTINCT(transactions.article_id, 0, 30) CLASSIFY", TaskType.MULTILABEL, "BIGINT[]", "auroc_macro", 1),
    ("LIST_DISTINCT(transactions.channel, 0, 30) RANK TOP 2", TaskType.MULTILABEL, "VARCHAR[]", "auroc_macro", 1),
    ("LIST_DISTINCT(transactions.article_id, 0, 30) RANK TOP 12", TaskType.LINK, "BIGINT[]", "link_prediction_map@12", 1),
    ("LIST_DISTINCT(transactions.article_id, 0, 30) RANK TOP 12 AMONG NEW", TaskType.LINK, "BIGINT[]",
     "link_prediction_map@12", 1),
    ("LIST_DISTINCT(transactions.article_id, 0, 30) RANK TOP 12 AMONG PAST", TaskType.REPEATED_LINK, "BIGINT[]",
     "link_prediction_map@12", 1),
    ("LIST_DISTINCT(transactions.channel, 0, 30) CONTAINS 'web'", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("customers.age", TaskType.REGRESSION, "DOUBLE", "rmse", 1),
    ("customers.tier", TaskType.MULTICLASS, "VARCHAR", "macro_f1", 1),
    ("customers.tier = 'gold'", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
    ("customers.vip", TaskType.BINARY, "BOOLEAN", "roc_auc", 1),
]  # fmt: skip


@pytest.mark.parametrize(("target", "type_", "label", "metric", "outputs"), TYPES)
def test_the_outermost_operation_decides_the_type(wide_schema, target, type_, label, metric, outputs):
    bound = ask(f"PREDICT {target}{EACH}", wide_schema)
    assert (bound.type, bound.label_type, bound.metric, bound.num_outputs) == (type_, label, metric, outputs)
    assert bound.is_static == target.startswith("customers.")


def test_the_shortest_path_is_taken_and_the_others_are_known(wide_schema):
    a = ask(f"PREDICT COUNT(transactions.*, 0, 7){EACH}", wide_schema).target.operand
    assert describe_path(a.path) == "transactions.customer_id -> customers"
    assert [len(p) for p in a.alternatives] == [2, 3]


def test_names_differ_by_case_only_if_one_fits_and_quoted_ones_not_at_all(wide_schema):
    assert (
        ask("PREDICT COUNT(Transactions.*, 0, 7) FOR EACH CUSTOMERS.Customer_ID", wide_schema).entity.name
        == "customers"
    )
    with pytest.raises(QueryError) as caught:
        ask('PREDICT COUNT("Transactions".*, 0, 7) FOR EACH customers.customer_id', wide_schema)
    assert caught.value.code == "Q03"


def test_a_column_read_as_it_is_today_is_warned_of_once(wide_schema):
    where = " WHERE customers.tier = 'gold' OR customers.tier = 'basic' AND customers.created_at < 2024-01-01"
    (finding,) = ask(f"PREDICT COUNT(transactions.*, 0, 7){EACH}{where}", wide_schema).findings
    assert (finding.severity, finding.table, finding.column) == ("warning", "customers", "tier")


def test_the_horizon_is_the_latest_end_of_target_and_premise(wide_schema):
    text = f"PREDICT SUM(transactions.price, 0, 7) FORECAST 4 TIMEFRAMES{EACH} ASSUMING COUNT(transactions.*, 0, 2, weeks) > 0"
    assert [str(h) for h in ask(text, wide_schema).horizons] == ["28 days", "2 weeks"]
