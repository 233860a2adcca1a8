"""The sentence for churn gives the very task tables of the tutorial's SQL, on H&M-shaped data."""

import pytest

import foreknow as fk
from foreknow.demo import hm
from foreknow.demo.projects import hm_project

SENTENCE = (
    "PREDICT COUNT(transactions.*, 0, 7, days) = 0 FOR EACH customers.customer_id "
    "WHERE COUNT(transactions.*, -7, 0, days) > 0"
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hm")
    hm.generate(folder / "hm.duckdb", size=hm.Size(customers=800, articles=150, transactions=12_000, departments=10))
    (folder / "foreknow.yaml").write_text(hm_project())
    return fk.open(folder)


def test_the_sentence_gives_the_tables_of_the_tutorial_row_for_row(database):
    bound = database.ask(SENTENCE, start="2019-09-02", val_time="2020-08-31", test_time="2020-09-07")
    found = bound.preview()
    assert [(s["seed times"], s["first"], s["last"]) for s in found.splits] == [
        (52, "2019-09-02", "2020-08-24"),
        (1, "2020-08-31", "2020-08-31"),
        (1, "2020-09-07", "2020-09-07"),
    ]
    with bound.snapshot().connect() as connection:
        for split, rows in found.tables.items():
            expected = connection.sql(hm.churn_sql(split)).fetchall()
            assert len(expected) > 30
            assert [(c, t, int(v)) for c, t, v in zip(*rows.to_pydict().values(), strict=True)] == expected
