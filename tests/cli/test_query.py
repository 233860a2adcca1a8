"""``foreknow task`` with a sentence: what it shows, saves and refuses."""

import pytest

EACH = " FOR EACH customers.customer_id"
CHURN = f"PREDICT COUNT(transactions.*, 0, 30, days) = 0{EACH}"


@pytest.fixture
def project(toy, monkeypatch):
    """The toy, with the split of the description under a name of its own."""
    text = (toy / "foreknow.yaml").read_text()
    splits = "start: 2023-12-01, val_time: 2024-01-31, test_time: 2024-03-01"
    task = f'tasks:\n  Churn: {{query: "{CHURN}", {splits}}}\n'
    (toy / "foreknow.yaml").write_text(text.replace("tasks:\n", task))
    monkeypatch.chdir(toy)
    monkeypatch.setenv("COLUMNS", "160")
    return toy


def test_a_query_of_the_project_is_shown_with_its_splits_and_sql(foreknow, project):
    shown = foreknow("task", "Churn", "--sql")
    assert shown.status == 0
    assert "Labels look up to 30 days ahead of each seed time t" in shown.out
    assert "2023-12-02" in shown.out
    assert shown.out.count("-- COUNT(transactions.*, 0, 30, days)") == 3
    splits = foreknow("task", "Churn", "--json").json["splits"]
    assert [(s["rows"], s["positive"]) for s in splits] == [(3, 1), (3, 2), (4, 1)]


def test_a_sentence_needs_no_project_file(foreknow, project):
    (project / "foreknow.yaml").unlink()
    done = foreknow("task", CHURN.replace("30", "14"), "--project", "toy.duckdb", "--json")
    assert done.json["experiment"] == "toy/binary_classification/Query"
    assert [s["split"] for s in done.json["splits"]] == ["train", "validation", "test"]


def test_an_error_points_into_the_sentence(foreknow, project):
    done = foreknow("task", "PREDICT COUNT(transaction.*, 0, 7, days)" + EACH)
    assert done.status == 2
    assert done.err.splitlines()[:4] == [
        "QueryError Q03 at line 1, column 15: unknown table 'transaction'.",
        "  PREDICT COUNT(transaction.*, 0, 7, days)" + EACH,
        "                ^^^^^^^^^^^",
        "Hint: did you mean 'transactions'? Tables: articles, customers, transactions.",
    ]


def test_task_tables_are_saved_once(foreknow, project):
    done = foreknow("task", "Churn", "--save", "--to", "tables")
    assert done.status == 0
    assert sorted(p.name for p in (project / "tables").iterdir()) == [
        f"churn_{split}.parquet" for split in ("test", "train", "validation")
    ]
    again = foreknow("task", "Churn", "--save", "--to", "tables")
    assert again.status == 2
    assert "exists already" in again.err


def test_training_what_only_can_be_seen_is_refused(foreknow, project):
    done = foreknow("train", f"PREDICT LIST_DISTINCT(transactions.article_id, 0, 7) RANK TOP 2{EACH} EVERY 30 days")
    assert done.status == 2
    assert "not yet trainable" in done.err
