"""The H&M-shaped demo database: its schema, what is planted in it, its churn task, and the import of the real files."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from foreknow.demo import hm, hm_database
from foreknow.demo.hm import CHURN_SQL, SIZES, Size, churn_sql, generate, import_kaggle
from foreknow.demo.hm_articles import NUM_TASTES, make_catalogue
from foreknow.demo.hm_customers import make_customers
from foreknow.demo.hm_purchases import shop
from foreknow.errors import ConfigError, SinkError, SourceError, TaskError

TINY = Size(customers=300, articles=150, transactions=4_000)
TOWN = Size(customers=5_000, articles=2_000, transactions=150_000)

Query = Callable[[str], list[tuple]]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hm") / "town.duckdb"
    generate(path, size=TOWN)
    return path


@pytest.fixture
def query(town: Path):
    with duckdb.connect(str(town), read_only=True) as db:
        yield lambda sql: db.execute(sql).fetchall()


def content(path: Path) -> list[tuple]:
    """One number per table that depends on every value and on the order of the rows."""
    with duckdb.connect(str(path), read_only=True) as db:
        return [
            db.execute(f"SELECT count(*), bit_xor(hash(rowid, t)) FROM {table} AS t").fetchone()
            for table in ("customers", "articles", "transactions")
        ]


# Schema


def test_tables_have_the_columns_and_types_of_the_real_data(query: Query) -> None:
    for table, columns in hm_database.COLUMNS.items():
        assert [row[:2] for row in query(f"DESCRIBE {table}")] == list(columns.items())
    assert [len(c) for c in hm_database.COLUMNS.values()] == [7, 25, 5]


def test_customers_and_articles_have_primary_keys_and_links_are_not_declared(query: Query) -> None:
    found = query("SELECT table_name, constraint_type FROM duckdb_constraints() WHERE constraint_type != 'NOT NULL'")
    assert sorted(found) == [("articles", "PRIMARY KEY"), ("customers", "PRIMARY KEY")]


def test_every_link_leads_to_a_row(query: Query) -> None:
    for table, key in (("customers", "customer_id"), ("articles", "article_id")):
        assert query(f"SELECT count(*) FROM transactions ANTI JOIN {table} USING ({key})") == [(0,)]


def test_identifiers_look_like_the_real_ones(query: Query) -> None:
    assert query("SELECT count(*) FROM articles WHERE NOT regexp_full_match(article_id, '0[0-9]{9}')") == [(0,)]
    assert query("SELECT count(*) FROM articles WHERE product_code != article_id[:7]::BIGINT") == [(0,)]
    wrong = "NOT regexp_full_match({0}, '[0-9a-f]{{64}}')"
    for column in ("customer_id", "postal_code"):
        assert query(f"SELECT count(*) FROM customers WHERE {wrong.format(column)}") == [(0,)]


def test_transactions_are_in_date_order_from_the_first_to_the_last_day(query: Query) -> None:
    dates = [row[0] for row in query("SELECT t_dat FROM transactions")]
    assert dates == sorted(dates)
    assert (dates[0], dates[-1]) == (date(2018, 9, 20), date(2020, 9, 22))


def test_values_stay_in_the_real_ranges(query: Query) -> None:
    assert query("SELECT DISTINCT sales_channel_id FROM transactions ORDER BY ALL") == [(1,), (2,)]
    low, mean, high = query("SELECT min(price), avg(price), max(price) FROM transactions")[0]
    assert low > 0.0005
    assert 0.02 < mean < 0.05
    assert high < 0.6
    assert query("SELECT DISTINCT FN FROM customers ORDER BY ALL NULLS LAST") == [(1.0,), (None,)]
    assert query("SELECT min(age) >= 16, max(age) <= 99, count(age) < count(*) FROM customers") == [(True, True, True)]
    status = {row[0] for row in query("SELECT DISTINCT club_member_status FROM customers")}
    assert status == {"ACTIVE", "PRE-CREATE", "LEFT CLUB", None}
    news = {row[0] for row in query("SELECT DISTINCT fashion_news_frequency FROM customers")}
    assert news == {"NONE", "Regularly", "Monthly", None}


def test_one_postal_code_is_far_more_common_than_all_others(query: Query) -> None:
    counts = [n for (n,) in query("SELECT count(*) AS n FROM customers GROUP BY postal_code ORDER BY n DESC")]
    assert counts[0] > 0.07 * TOWN.customers
    assert counts[1] < counts[0] / 10
    assert len(counts) > 0.1 * TOWN.customers


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("product_type_no", "product_type_name"),
        ("graphical_appearance_no", "graphical_appearance_name"),
        ("colour_group_code", "colour_group_name"),
        ("perceived_colour_value_id", "perceived_colour_value_name"),
        ("perceived_colour_master_id", "perceived_colour_master_name"),
        ("department_no", "department_name"),
        ("index_code", "index_name"),
        ("index_group_no", "index_group_name"),
        ("section_no", "section_name"),
        ("garment_group_no", "garment_group_name"),
        # hierarchies: each of the left belongs to one of the right
        ("product_type_name", "product_group_name"),
        ("product_type_name", "garment_group_name"),
        ("department_no", "section_no"),
        ("department_no", "garment_group_no"),
        ("section_no", "index_code"),
        ("index_code", "index_group_no"),
        ("colour_group_code", "perceived_colour_master_id"),
        ("product_code", "prod_name"),
        ("product_code", "department_no"),
    ],
)
def test_a_number_has_one_name(query: Query, number: str, name: str) -> None:
    assert query(f"SELECT {number} FROM articles GROUP BY {number} HAVING count(DISTINCT {name}) != 1") == []


def test_code_tables_are_as_long_as_the_real_ones() -> None:
    table = make_catalogue(30_000, 250, np.random.default_rng(0)).table
    lengths = {name: len(table[name].unique()) for name in table.column_names}
    assert {name: n for name, n in lengths.items() if n < 1000} == {
        "product_type_no": 130,
        "product_type_name": 130,
        "product_group_name": 19,
        "graphical_appearance_no": 30,
        "graphical_appearance_name": 30,
        "colour_group_code": 50,
        "colour_group_name": 50,
        "perceived_colour_value_id": 8,
        "perceived_colour_value_name": 8,
        "perceived_colour_master_id": 20,
        "perceived_colour_master_name": 20,
        "department_no": 250,
        "department_name": 250,
        "index_code": 10,
        "index_name": 10,
        "index_group_no": 5,
        "index_group_name": 5,
        "section_no": 56,
        "section_name": 56,
        "garment_group_no": 21,
        "garment_group_name": 21,
    }


def test_descriptions_are_sentences_and_some_are_missing(query: Query) -> None:
    texts = [text for (text,) in query("SELECT detail_desc FROM articles")]
    assert 0 < texts.count(None) < 0.05 * len(texts)
    assert all(text.endswith(".") and " in " in text and "\n" not in text for text in texts if text)


# Generation


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate(tmp_path / name, size=TINY, seed=seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert all(a != c for a, c in zip(content(tmp_path / "a"), content(tmp_path / "c"), strict=True))


def test_rows_do_not_depend_on_the_number_of_threads(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = duckdb.connect
    monkeypatch.setattr(hm_database.duckdb, "connect", lambda path: connect(path, config={"threads": 5}))
    generate(tmp_path / "many.duckdb", size=TOWN)
    monkeypatch.setattr(hm_database.duckdb, "connect", lambda path: connect(path, config={"threads": 1}))
    generate(tmp_path / "one.duckdb", size=TOWN)
    monkeypatch.undo()
    assert content(tmp_path / "one.duckdb") == content(tmp_path / "many.duckdb") == content(town)


def test_returns_the_rows_per_table_and_reports_progress(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    rows = generate(tmp_path / "hm.duckdb", size=TINY, progress=lambda table, done: told.append((table, done)))
    assert rows["customers"] == 300
    assert rows["articles"] == 150
    assert [n for n, _ in content(tmp_path / "hm.duckdb")] == list(rows.values())
    shares = [done for _, done in told]
    assert list(dict.fromkeys(table for table, _ in told)) == ["customers", "articles", "transactions"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_number_of_transactions_comes_out_near_the_aim(seed: int) -> None:
    catalogue = make_catalogue(1_000, 100, np.random.default_rng(seed))
    customers = make_customers(4_000, np.random.default_rng(seed))
    rows = sum(len(day.customer) for day in shop(catalogue, customers, 80_000, np.random.default_rng(seed)))
    assert abs(rows / 80_000 - 1) < 0.12


def test_the_smallest_database_there_is(tmp_path: Path) -> None:
    rows = generate(tmp_path / "hm.duckdb", size=Size(customers=1, articles=1, transactions=1, departments=1))
    assert rows["customers"] == rows["articles"] == 1


def test_sizes_grow_to_the_real_one() -> None:
    assert list(SIZES) == ["small", "medium", "large"]
    assert [s.customers for s in SIZES.values()] == [20_000, 100_000, 1_371_980]
    assert [s.transactions for s in SIZES.values()] == [300_000, 3_000_000, 31_788_324]


def test_unknown_sizes_and_seeds_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no size 'smal'\nHint: did you mean 'small'\?"):
        generate(tmp_path / "hm.duckdb", size="smal")
    with pytest.raises(ConfigError, match="seed must be 0 or more, not -1"):
        generate(tmp_path / "hm.duckdb", size=TINY, seed=-1)
    with pytest.raises(ConfigError, match=r"at least 1, not {'articles': 0}"):
        Size(customers=1, articles=0, transactions=1)
    assert list(tmp_path.iterdir()) == []


# The file


def test_an_existing_file_is_refused_unless_overwrite_is_on(tmp_path: Path) -> None:
    path = tmp_path / "hm.duckdb"
    path.write_text("precious")
    with pytest.raises(SinkError, match=r"hm.duckdb' exists already\nHint: choose another path, or pass overwrite"):
        generate(path, size=TINY)
    assert path.read_text() == "precious"
    path.with_name("hm.duckdb.wal").write_text("log of the old file")
    generate(path, size=TINY, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["hm.duckdb"]
    assert content(path)[0][0] == 300


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="is a folder"):
        generate(tmp_path, size=TINY, overwrite=True)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    generate(tmp_path / "new" / "folder" / "hm.duckdb", size=TINY)
    assert (tmp_path / "new" / "folder" / "hm.duckdb").is_file()


def test_a_place_that_can_not_be_written_is_a_sink_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"can't write .*\nHint: choose a folder"):
        generate(tmp_path / "file" / "hm.duckdb", size=TINY)


def test_a_failed_generation_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hm.duckdb"
    path.write_text("old")
    monkeypatch.setattr(hm, "shop", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(path, size=TINY, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["hm.duckdb"]
    assert path.read_text() == "old"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_generation_leaves_no_database_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "hm.duckdb"
    program = f"""
import os, signal
from pathlib import Path
from foreknow.demo.hm import Size, generate
die = lambda table, done: os.kill(os.getpid(), signal.SIGKILL) if done > 0.5 else None
generate(Path({str(path)!r}), size=Size(customers=300, articles=150, transactions=4000), progress=die)
"""
    source = str(Path(hm.__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source}, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not path.exists()
    assert list(tmp_path.iterdir())
    running = tmp_path / f"hm.duckdb.{os.getppid()}.partial"
    running.write_text("of a process that is alive")
    generate(path, size=TINY)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["hm.duckdb", running.name]


# What is planted


def test_a_few_articles_make_most_of_the_sales_and_they_change(query: Query) -> None:
    sold = [n for (n,) in query("SELECT count(*) AS n FROM transactions GROUP BY article_id ORDER BY n DESC")]
    assert sum(sold[: len(sold) // 10]) > 0.5 * sum(sold)
    near, far = query("""
        SELECT corr(a, b), corr(b, c) FROM (
          SELECT count(*) FILTER (t_dat BETWEEN '2020-08-01' AND '2020-08-28') AS a,
                 count(*) FILTER (t_dat BETWEEN '2020-07-04' AND '2020-07-31') AS b,
                 count(*) FILTER (t_dat BETWEEN '2019-07-04' AND '2019-07-31') AS c
          FROM transactions GROUP BY article_id)""")[0]
    assert near > 0.8
    assert far < 0.5


def test_summer_and_winter_goods_have_their_season(query: Query) -> None:
    summer = dict(
        query("""
        SELECT garment_group_name, avg((month(t_dat) BETWEEN 6 AND 8)::INT)
        FROM transactions JOIN articles USING (article_id) GROUP BY ALL""")
    )
    assert min(summer["Swimwear"], summer["Shorts"]) > 0.3
    assert max(summer["Outdoor"], summer["Knitwear"]) < 0.23


def test_one_article_in_five_or_so_was_bought_before() -> None:
    rng = np.random.default_rng(0)
    catalogue, customers = make_catalogue(20_000, 250, rng), make_customers(2_000, rng)
    known: set[tuple[int, int]] = set()
    repeats = []
    for day in shop(catalogue, customers, 40_000, rng):
        rows = list(zip(day.customer.tolist(), day.article.tolist(), strict=True))
        repeats += [row in known for row in rows]
        known.update(rows)
    assert 0.15 < np.mean(repeats) < 0.35


def test_a_basket_stays_within_its_taste(query: Query) -> None:
    together, chance = query("""
        WITH item AS (SELECT customer_id, t_dat, article_id, index_code
                      FROM transactions JOIN articles USING (article_id) WHERE t_dat > '2020-06-01')
        SELECT (SELECT avg((a.index_code = b.index_code)::INT) FROM item AS a JOIN item AS b
                ON a.customer_id = b.customer_id AND a.t_dat = b.t_dat AND a.article_id < b.article_id),
               (SELECT sum(n * n) / sum(n) ** 2 FROM (SELECT count(*) AS n FROM item GROUP BY index_code))""")[0]
    assert together > 2 * chance


def test_customers_keep_to_a_few_of_the_tastes() -> None:
    rng = np.random.default_rng(0)
    catalogue, customers = make_catalogue(2_000, 120, rng), make_customers(2_000, rng)
    bought = np.zeros((2_000, NUM_TASTES))
    for day in shop(catalogue, customers, 60_000, rng):
        np.add.at(bought, (day.customer, catalogue.taste[day.article]), 1)
    regulars = bought[bought.sum(axis=1) >= 20]
    top_two = np.sort(regulars, axis=1)[:, -2:].sum(axis=1) / regulars.sum(axis=1)
    assert top_two.mean() > 0.7


def test_the_young_buy_online(query: Query) -> None:
    young, old = query("""
        SELECT avg(sales_channel_id) FILTER (age < 30), avg(sales_channel_id) FILTER (age > 50)
        FROM transactions JOIN customers USING (customer_id)""")[0]
    assert young > old + 0.15


def test_quality_shows_in_the_garment_group_and_the_product_type() -> None:
    catalogue = make_catalogue(20_000, 250, np.random.default_rng(3))
    assert abs(catalogue.quality.mean()) < 0.1
    spread = catalogue.quality.var()
    for column, share in (("garment_group_no", 0.4), ("product_type_no", 0.7)):
        code = np.unique(catalogue.table[column].to_numpy(), return_inverse=True)[1]
        mean = np.bincount(code, catalogue.quality) / np.bincount(code)
        assert mean[code].var() > share * spread


def test_customers_return_after_good_baskets_and_stay_away_after_bad_ones() -> None:
    rng = np.random.default_rng(1)
    catalogue, customers = make_catalogue(2_000, 120, rng), make_customers(2_000, rng)
    visits: dict[int, list[tuple[int, float]]] = {}
    for day in shop(catalogue, customers, 60_000, rng):
        for customer in np.unique(day.customer):
            quality = catalogue.quality[day.article[day.customer == customer]].mean()
            visits.setdefault(int(customer), []).append((day.day, float(quality)))
    returned: dict[bool, list[bool]] = {True: [], False: []}
    for days in visits.values():
        for i, (day, quality) in enumerate(days):
            if day < 700 and abs(quality) > 0.7:
                returned[quality > 0].append(i + 1 < len(days) and days[i + 1][0] <= day + 14)
    assert np.mean(returned[True]) > np.mean(returned[False]) + 0.1


# The churn task


def slow_churn(purchases: list[tuple[datetime, str]], split: str) -> list[tuple[str, datetime, int]]:
    """The definition, word by word."""
    weeks = {"train": 52, "validation": 1, "test": 1}[split]
    start = {"train": datetime(2019, 9, 2), "validation": datetime(2020, 8, 31), "test": datetime(2020, 9, 7)}[split]
    week = timedelta(days=7)
    rows = []
    for seed_time in (start + i * week for i in range(weeks)):
        before = {c for t, c in purchases if seed_time - week < t <= seed_time}
        after = {c for t, c in purchases if seed_time < t <= seed_time + week}
        rows += [(c, seed_time, int(c not in after)) for c in sorted(before)]
    return rows


def churn(purchases: list[tuple[datetime, str]], split: str, dtype: str = "DATE") -> list[tuple[str, datetime, int]]:
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE transactions (t_dat {dtype}, customer_id VARCHAR, article_id VARCHAR)")
        if purchases:
            db.executemany("INSERT INTO transactions VALUES (?, ?, 'a')", purchases)
        return db.execute(CHURN_SQL[split]).fetchall()


def test_both_windows_are_open_at_the_left_and_closed_at_the_right() -> None:
    seed_time = datetime(2020, 9, 7)
    purchases = [
        (datetime(2020, 8, 31), "at t - 7 days"),
        (datetime(2020, 9, 1), "at t - 6 days"),
        (datetime(2020, 9, 7), "at t"),
        (datetime(2020, 9, 8), "at t + 1 day"),
        (datetime(2020, 9, 3), "again at t"),
        (datetime(2020, 9, 7), "again at t"),
        (datetime(2020, 9, 3), "again at t + 7 days"),
        (datetime(2020, 9, 14), "again at t + 7 days"),
        (datetime(2020, 9, 3), "again at t + 8 days"),
        (datetime(2020, 9, 15), "again at t + 8 days"),
    ]
    assert churn(purchases, "test") == [
        ("again at t", seed_time, 1),
        ("again at t + 7 days", seed_time, 0),
        ("again at t + 8 days", seed_time, 1),
        ("at t", seed_time, 1),
        ("at t - 6 days", seed_time, 1),
    ]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("dtype", ["DATE", "TIMESTAMP"])
def test_churn_agrees_with_its_definition(split: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    first, last = datetime(2019, 8, 20), datetime(2020, 9, 22)
    days = [first + timedelta(days=int(d)) for d in rng.integers(0, (last - first).days + 1, 700)]
    if dtype == "TIMESTAMP":  # a second on either side of midnight, and midnight
        days = [day + timedelta(seconds=int(s)) for day, s in zip(days, rng.integers(-1, 2, 700), strict=True)]
    purchases = [(day, f"c{c}") for day, c in zip(days, rng.integers(0, 12, 700), strict=True)]
    found = churn(purchases, split, dtype)
    assert found == slow_churn(purchases, split)
    assert {row[2] for row in found} == {0, 1}


def test_churn_of_an_empty_table_is_empty() -> None:
    assert churn([], "train") == []


def test_churn_has_the_columns_of_a_task_table(query: Query, town: Path) -> None:
    with duckdb.connect(str(town), read_only=True) as db:
        described = [(c[0], str(c[1])) for c in db.execute(churn_sql("train")).description]
        assert described == [("customer_id", "VARCHAR"), ("timestamp", "TIMESTAMP"), ("churn", "BIGINT")]
    for split, seed_times in (("train", 52), ("validation", 1), ("test", 1)):
        count, rate, entities = query(f"""
            SELECT count(DISTINCT timestamp), avg(churn), count(DISTINCT customer_id) FROM ({CHURN_SQL[split]})""")[0]
        assert count == seed_times
        assert 0.5 < rate < 0.85
        assert entities > 100


def test_an_unknown_split_is_refused() -> None:
    assert list(CHURN_SQL) == ["train", "validation", "test"]
    with pytest.raises(TaskError, match=r"no split 'valid'\nHint: did you mean 'validation'\?"):
        churn_sql("valid")


# The real files

ARTICLE = {
    "article_id": "0108775015",
    "product_code": "0108775",
    "prod_name": "Strap top",
    "product_type_no": "253",
    "product_type_name": "Vest top",
    "product_group_name": "Garment Upper body",
    "graphical_appearance_no": "1010016",
    "graphical_appearance_name": "Solid",
    "colour_group_code": "09",
    "colour_group_name": "Black",
    "perceived_colour_value_id": "4",
    "perceived_colour_value_name": "Dark",
    "perceived_colour_master_id": "5",
    "perceived_colour_master_name": "Black",
    "department_no": "1676",
    "department_name": "Jersey Basic",
    "index_code": "A",
    "index_name": "Ladieswear",
    "index_group_no": "1",
    "index_group_name": "Ladieswear",
    "section_no": "16",
    "section_name": "Womens Everyday Basics",
    "garment_group_no": "1002",
    "garment_group_name": "Jersey Basic",
    "detail_desc": '"Jersey top with ""narrow"" straps,\nin black."',
}
CUSTOMERS = """customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code
00aa,,,ACTIVE,NONE,49,52ee
00bb,1,1,PRE-CREATE,Regularly,25.0,2973
00cc,1.0,,,,,64f1
"""
TRANSACTIONS = """t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,00aa,0108775015,0.050830508474576264,2
2020-09-22,00bb,0108775015,1e-3,1
"""


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    folder = tmp_path / "data [kaggle]"
    folder.mkdir()
    (folder / "customers.csv").write_text(CUSTOMERS)
    (folder / "articles.csv").write_text(f"{','.join(ARTICLE)}\n{','.join(ARTICLE.values())}\n")
    (folder / "transactions_train.csv").write_text(TRANSACTIONS)
    return folder


def test_the_real_files_are_read_as_they_are(kaggle: Path, tmp_path: Path) -> None:
    path = tmp_path / "hm.duckdb"
    told: list[tuple[str, float]] = []
    rows = import_kaggle(kaggle, path, progress=lambda table, done: told.append((table, done)))
    assert rows == {"customers": 3, "articles": 1, "transactions": 2}
    assert (told[0], told[-1]) == (("customers", 0.0), ("transactions", 1.0))
    with duckdb.connect(str(path), read_only=True) as db:
        assert db.execute("FROM customers").fetchall() == [
            ("00aa", None, None, "ACTIVE", "NONE", 49, "52ee"),
            ("00bb", 1.0, 1.0, "PRE-CREATE", "Regularly", 25, "2973"),
            ("00cc", 1.0, None, None, None, None, "64f1"),
        ]
        article = db.execute("SELECT article_id, product_code, colour_group_code, detail_desc FROM articles").fetchall()
        assert article == [("0108775015", 108775, 9, 'Jersey top with "narrow" straps,\nin black.')]
        assert db.execute("FROM transactions").fetchall() == [
            (date(2018, 9, 20), "00aa", "0108775015", 0.050830508474576264, 2),
            (date(2020, 9, 22), "00bb", "0108775015", 0.001, 1),
        ]


def test_generated_and_imported_databases_have_the_same_schema(kaggle: Path, tmp_path: Path, query: Query) -> None:
    import_kaggle(kaggle, tmp_path / "hm.duckdb")
    schema = "SELECT sql FROM duckdb_tables() ORDER BY table_oid"
    with duckdb.connect(str(tmp_path / "hm.duckdb"), read_only=True) as db:
        assert db.execute(schema).fetchall() == query(schema)


def test_compressed_files_and_further_columns_are_fine(kaggle: Path, tmp_path: Path) -> None:
    lines = TRANSACTIONS.splitlines()
    text = "\n".join([f"{lines[0]},extra", *(f"{line},x" for line in lines[1:])])
    (kaggle / "transactions_train.csv").unlink()
    (kaggle / "transactions_train.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert import_kaggle(kaggle, tmp_path / "hm.duckdb")["transactions"] == 2


def test_a_damaged_file_is_said_before_anything_is_written(kaggle: Path, tmp_path: Path) -> None:
    (kaggle / "articles.csv").unlink()
    (kaggle / "articles.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(SourceError, match=r"table 'articles': 'articles.csv.gz' can't be read"):
        import_kaggle(kaggle, tmp_path / "hm.duckdb")
    assert not (tmp_path / "hm.duckdb").exists()


def test_missing_files_are_named_all_at_once(kaggle: Path, tmp_path: Path) -> None:
    (kaggle / "customers.csv").unlink()
    (kaggle / "transactions_train.csv").rename(kaggle / "transactions_train.csv.zip")
    with pytest.raises(SourceError) as caught:
        import_kaggle(kaggle, tmp_path / "hm.duckdb")
    assert "there is no customers.csv, no transactions_train.csv (nor .csv.gz)" in str(caught.value)
    assert "Hint: download the competition's files from Kaggle, unzip them" in str(caught.value)
    assert not (tmp_path / "hm.duckdb").exists()


def test_missing_files_and_columns_are_named_in_one_error(kaggle: Path, tmp_path: Path) -> None:
    (kaggle / "customers.csv").write_text(CUSTOMERS.replace("postal_code", "postal_kode").replace("FN,", "N,"))
    (kaggle / "articles.csv").unlink()
    with pytest.raises(SourceError) as caught:
        import_kaggle(kaggle, tmp_path / "hm.duckdb")
    assert "2 problems" in str(caught.value)
    assert "table 'customers': 'customers.csv' has no column FN, postal_code" in str(caught.value)
    assert [finding.name for finding in caught.value.findings] == ["missing-file", "missing-column"]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("transactions_train.csv", "2018-09-20", "yesterday", "yesterday"),
        ("customers.csv", "00bb,", "00aa,", "duplicate key.*00aa"),
        ("customers.csv", ",Regularly,25.0,2973", "", "Line: 3.*Columns"),
    ],
)
def test_values_that_do_not_fit_are_said(
    kaggle: Path, tmp_path: Path, file: str, old: str, new: str, says: str
) -> None:
    (kaggle / file).write_text((kaggle / file).read_text().replace(old, new))
    with pytest.raises(SourceError, match=f"can't be read: .*{says}") as caught:
        import_kaggle(kaggle, tmp_path / "hm.duckdb")
    assert file in str(caught.value)
    assert [f.name for f in tmp_path.iterdir()] == [kaggle.name]


def test_import_refuses_an_existing_file(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "hm.duckdb").write_text("old")
    with pytest.raises(SinkError, match="exists already"):
        import_kaggle(kaggle, tmp_path / "hm.duckdb")
    assert import_kaggle(kaggle, tmp_path / "hm.duckdb", overwrite=True)["articles"] == 1


# Whether there is something to learn


@pytest.mark.slow
def test_churn_is_learnable_from_behaviour_and_more_so_with_the_articles(tmp_path: Path) -> None:
    """ROC-AUC: customer columns a little, recency and counts more, quality of recent articles on top."""
    import lightgbm as lgb
    from sklearn.metrics import roc_auc_score

    generate(tmp_path / "hm.duckdb", size="medium")
    with duckdb.connect(str(tmp_path / "hm.duckdb")) as db:
        db.execute("CREATE TEMP TABLE seed AS " + " UNION ALL ".join(
            f"SELECT *, '{split}' AS split FROM ({sql}) WHERE split != 'train' OR hash(customer_id, timestamp) % 4 = 0"
            for split, sql in CHURN_SQL.items()))  # fmt: skip
        db.execute("""
            CREATE TEMP TABLE past AS
            SELECT s.*, t.t_dat, date_diff('day', t.t_dat, s.timestamp) AS age_days, a.product_type_no AS kind
            FROM seed AS s
            JOIN transactions AS t ON t.customer_id = s.customer_id AND t.t_dat <= s.timestamp
            JOIN articles AS a USING (article_id)""")
        db.execute("""
            CREATE TEMP TABLE kind AS SELECT kind, avg(churn) AS risk FROM past
            WHERE split = 'train' AND age_days < 7 GROUP BY kind""")
        rows = db.execute("""
            SELECT split, churn, any_value(c.age) AS age, any_value(c.FN) AS fn, any_value(c.Active) AS active,
                   any_value((c.club_member_status = 'ACTIVE')::INT) AS club,
                   min(age_days) AS recency, max(age_days) AS tenure, count(*) FILTER (age_days < 7) AS n7,
                   count(*) FILTER (age_days < 30) AS n30, count(*) FILTER (age_days < 90) AS n90,
                   avg(risk) FILTER (age_days < 7) AS risk7, avg(risk) FILTER (age_days < 30) AS risk30
            FROM past JOIN customers AS c USING (customer_id) LEFT JOIN kind USING (kind)
            GROUP BY split, churn, customer_id, timestamp ORDER BY timestamp, customer_id""").fetchnumpy()
    split = np.array(rows["split"])

    def auc(names: list[str]) -> float:
        x = np.column_stack([np.ma.filled(np.ma.asarray(rows[n], float), np.nan) for n in names])
        model = lgb.train(
            {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 100, "verbose": -1},
            lgb.Dataset(x[split == "train"], rows["churn"][split == "train"]),
            num_boost_round=150,
        )
        return float(roc_auc_score(rows["churn"][split == "test"], model.predict(x[split == "test"])))

    columns, behaviour = ["age", "fn", "active", "club"], ["recency", "tenure", "n7", "n30", "n90"]
    assert 0.51 < auc(columns) < 0.59
    plain = auc(behaviour)
    assert 0.65 < plain < 0.75
    assert auc([*behaviour, "risk7", "risk30"]) > plain + 0.02
