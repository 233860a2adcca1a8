"""A database as Foreknow sees it: opened, understood, staged."""

import dataclasses
import os

import duckdb
import pytest

from foreknow.database import open_database
from foreknow.errors import ConfigError, SchemaError, SourceError, TaskError
from foreknow.project import load_project
from foreknow.testing.toy import PROJECT, toy_schema
from foreknow.types import Stype, TaskType


@pytest.fixture(scope="module")
def opened(toy_folder, tmp_path_factory):
    """The toy by its project file. Read only."""
    return open_database(toy_folder, home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def inferred(toy_folder, tmp_path_factory):
    """The toy by its DuckDB file alone. Read only."""
    return open_database(toy_folder / "toy.duckdb", home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def edit(toy):
    """The toy with a piece of its project file exchanged."""

    def run(old, new):
        assert PROJECT.count(old) == 1
        (toy / "foreknow.yaml").write_text(PROJECT.replace(old, new))
        return open_database(toy)

    return run


# --- opening ------------------------------------------------------------------------------------------------


def test_a_project_is_opened_by_its_folder_its_file_or_its_source(toy):
    for where in (toy, str(toy), toy / "foreknow.yaml"):
        database = open_database(where)
        assert (database.dataset, database.workspace) == ("Toy", toy.resolve() / ".foreknow")
    assert open_database(toy / "toy.duckdb", home=toy / "work").workspace == toy.resolve() / "work"
    assert open_database(toy / "toy.duckdb", home=toy).dataset == "toy"


def test_without_project_file_the_workspace_is_in_the_working_directory(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database = open_database("toy/toy.duckdb")
    assert database.workspace == tmp_path.resolve() / ".foreknow"
    assert set(database.schema.tables) == {"articles", "customers", "transactions"}


def test_opening_reads_nothing(toy):
    open_database(toy)
    assert sorted(p.name for p in toy.iterdir()) == ["foreknow.yaml", "toy.duckdb"]


def test_what_is_not_there_is_said_with_what_can_be_given(tmp_path):
    with pytest.raises(
        ConfigError, match=r"there is nothing at '.*x.duckdb'\nHint: give a DuckDB file, a folder of CSV"
    ):
        open_database(tmp_path / "x.duckdb")
    with pytest.raises(ConfigError, match=r"there is no project file '.*x.yaml'\nHint: write one with"):
        open_database(tmp_path / "x.yaml")
    with pytest.raises(SourceError, match="no tables in"):
        open_database(tmp_path)
    with pytest.raises(SourceError, match="sources of kind 'postgresql' can't be read"):
        open_database("postgresql://localhost/shop")


def test_a_source_that_moved_is_named(edit):
    with pytest.raises(SourceError, match=r"there is no DuckDB file '.*gone.duckdb'"):
        edit("source: toy.duckdb", "source: gone.duckdb")


# --- the schema ---------------------------------------------------------------------------------------------


def test_the_schema_is_the_project_files(opened):
    assert opened.schema == toy_schema()
    assert opened.check() == []


def test_without_project_file_the_schema_is_inferred(inferred):
    schema = inferred.schema
    assert {t.name: t.primary_key for t in schema} == {
        "articles": ("article_id",),
        "customers": ("customer_id",),
        "transactions": ("transaction_id",),
    }
    assert {e.name: e.target for e in schema.edge_types}.items() >= {
        ("f2p_customer_id", "customers"),
        ("f2p_article_id", "articles"),
    }
    assert schema["transactions"].time_column == "ts"


def test_columns_the_file_leaves_open_are_inferred(edit):
    schema = edit("    columns: {price: numerical, channel: categorical}\n", "").schema
    assert schema["transactions"]["price"].stype is Stype.NUMERICAL
    assert schema["transactions"]["channel"].stype is Stype.CATEGORICAL
    assert schema["customers"] == toy_schema()["customers"]


def test_only_the_tables_of_the_file_are_staged(edit):
    told = []
    database = edit(
        "  transactions:\n    key: transaction_id\n    time: ts\n"
        "    links: {customer_id: customers, article_id: articles}\n"
        "    columns: {price: numerical, channel: categorical}\n",
        "",
    )
    database.progress = told.append
    assert list(database.snapshot.tables) == ["customers", "articles"]
    assert told == ["reading customers", "reading articles"]


def test_derived_columns_are_staged_and_part_of_the_schema(edit):
    database = edit(
        "{category: categorical, list price: numerical}",
        "{category: categorical, cheap: {sql: '\"list price\" < 50', type: boolean}}",
    )
    column = database.schema["articles"]["cheap"]
    assert (column.stype, column.dtype, column.sql) == (Stype.BOOLEAN, "BOOLEAN", '"list price" < 50')
    with database.snapshot.connect() as connection:
        assert connection.sql("SELECT cheap FROM articles ORDER BY article_id").fetchall() == [
            (False,),
            (True,),
            (False,),
        ]


def test_the_schema_can_be_edited_but_not_broken(toy):
    database = open_database(toy)
    database.schema = database.schema.with_stype("articles", "category", Stype.TEXT)
    assert database.schema["articles"]["category"].stype is Stype.TEXT
    keyless = database.schema.replace(articles=dataclasses.replace(database.schema["articles"], primary_key=()))
    with pytest.raises(SchemaError, match="it links to 'articles', which has no key"):
        database.schema = keyless
    assert database.schema["articles"]["category"].stype is Stype.TEXT


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  articles:\n", "  article:\n", r"1 table\(s\) are not in '.*': 'article'\nHint: did you mean 'articles'"),
        (
            "{age: numerical, tier: categorical}",
            "{agee: numerical, tier: categorical, x: text}",
            r"2 column\(s\) of the project file are not in the source:\n"
            r"- table 'customers' has no column 'agee'; did you mean 'age'\? Columns: age, .*\n"
            r"- table 'customers' has no column 'x'; Columns: ",
        ),
        (
            "    time: ts\n",
            "    time: tss\n",
            "table 'transactions': time column 'tss' is not there\n  Hint: did you mean 'ts'",
        ),
        (
            "key: article_id",
            "key: articleid",
            "table 'articles': key column 'articleid' is not there\n  Hint: did you mean",
        ),
        ("article_id: articles}", "artcle_id: articles}", "table 'transactions': link column 'artcle_id' is not there"),
        ("article_id: articles}", "article_id: artcles}", "it links to 'artcles', which is no table of the schema"),
    ],
)
def test_what_the_source_does_not_have_is_named(edit, old, new, message):
    database = edit(old, new)
    with pytest.raises((SchemaError, SourceError), match=message):
        database.inspect()


# --- looking at it ------------------------------------------------------------------------------------------


def test_an_inspection_counts_rows_and_links(opened):
    found = opened.inspect()
    assert found.row_counts == {"customers": 4, "articles": 3, "transactions": 11}
    assert found.dangling == {
        ("customers", "referred_by"): 0.0,
        ("transactions", "customer_id"): 0.0,
        ("transactions", "article_id"): 0.0,
    }
    assert (found.notes, found.left_out, found.reasons) == ((), {}, {})


def test_an_inspection_of_an_inferred_schema_gives_reasons(inferred):
    found = inferred.inspect()
    assert found.schema == inferred.schema
    assert "article_id" in {c for _, c in found.reasons}
    assert found.dangling["transactions", "article_id"] == 0.0


def test_an_edited_schema_is_measured_anew(toy):
    with duckdb.connect(str(toy / "toy.duckdb")) as connection:
        connection.execute("UPDATE transactions SET article_id = 99 WHERE transaction_id = 1")
    database = open_database(toy / "toy.duckdb", home=toy)
    database.schema = toy_schema()
    assert database.inspect().dangling["transactions", "article_id"] == pytest.approx(1 / 11)


def test_the_description_names_tables_and_links(opened):
    text = opened.describe()
    assert "transactions" in text
    assert "11 rows" in text


def test_the_project_file_of_an_inferred_schema_gives_the_same_schema(inferred, toy):
    (toy / "foreknow.yaml").write_text(inferred.to_yaml())
    again = open_database(toy)
    assert again.schema == inferred.schema
    assert again.dataset == inferred.dataset


def test_the_project_file_of_a_project_keeps_tasks_and_parameters(opened, tmp_path):
    (tmp_path / "foreknow.yaml").write_text(opened.to_yaml())
    again = load_project(tmp_path)
    assert again.task("Buys") == opened.project.task("Buys")
    assert again.file.train == opened.project.file.train


# --- snapshots and tasks ------------------------------------------------------------------------------------


def test_a_snapshot_holds_the_schema_and_what_is_asked_for(edit):
    database = edit(
        "  articles:\n    key: article_id\n    columns: {category: categorical, list price: numerical}\n", ""
    )
    assert "articles" not in database.snapshot.tables
    assert list(database.snapshot_with(("articles", "customers")).tables) == ["customers", "transactions", "articles"]


def test_the_snapshot_follows_the_source(toy):
    database = open_database(toy)
    first = database.snapshot.fingerprint
    with duckdb.connect(str(toy / "toy.duckdb")) as connection:
        connection.execute("DELETE FROM transactions WHERE transaction_id = 3")
    assert database.snapshot.fingerprint != first


def test_a_task_is_bound_to_its_database(opened):
    bound = opened.task("Buys")
    assert bound.experiment == "Toy/binary_classification/Buys"
    assert bound.task.type is TaskType.BINARY
    assert set(bound.snapshot().tables) == {"customers", "articles", "transactions"}


def test_tables_a_task_names_are_staged_with_the_schema(toy):
    with duckdb.connect(str(toy / "toy.duckdb")) as connection:
        connection.execute("CREATE TABLE buys_train AS SELECT 1 AS customer_id, TIMESTAMP '2024-01-31' AS t, true AS y")
    definition = {
        "tables": {"train": "buys_train", "test": "SELECT 1"},
        "type": "binary_classification",
        "entity": {"customer_id": "customers.customer_id"},
        "label": "y",
        "time": "t",
    }
    bound = open_database(toy).task("Named", definition)
    assert set(bound.snapshot().tables) == {"customers", "articles", "transactions", "buys_train"}
    assert "buys_train" not in bound.database.schema


def test_tasks_are_checked_against_the_schema(opened):
    with pytest.raises(ConfigError, match="there is no task 'buys'\nHint: did you mean 'Buys'"):
        opened.task("buys")
    definition = {"tables": {"train": "SELECT 1"}, "type": "regression", "entity": {"c": "customers.age"}, "label": "y"}
    with pytest.raises(TaskError, match=r"task 'Age': \(age\) is not a key of 'customers'"):
        opened.task("Age", definition)


def test_a_folder_of_csv_files_is_a_database(tmp_path):
    rows = "".join(f"{i},2024-01-{i % 28 + 1:02},{i / 7:.3f}\n" for i in range(1, 300))
    (tmp_path / "visits.csv").write_text("visit_id,day,spent\n" + rows)
    database = open_database(tmp_path, home=tmp_path / ".work")
    schema = database.schema
    assert schema["visits"].primary_key == ("visit_id",)
    assert schema["visits"].time_column == "day"
    assert schema["visits"]["spent"].stype is Stype.NUMERICAL
    assert sorted(os.listdir(tmp_path)) == [".work", "visits.csv"]
