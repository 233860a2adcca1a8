from __future__ import annotations

import duckdb
import pytest

from foreknow.schema.infer import Inference, propose
from foreknow.schema.profile import Declared
from foreknow.schema.storage import storage_kind
from foreknow.schema.table import ForeignKey, Schema
from foreknow.source.measure import TableMeasures
from foreknow.testing.inference import infer, links, rows
from foreknow.types import Stype


def stypes(values: str, n: int = 1000) -> dict[str, str]:
    """The types proposed for columns of a table of `n` rows, numbered ``i``, without keys."""
    found = infer(t=rows(n, f"'pad' AS pad, 1.5 * i AS first, {values}"))
    return {c.name: str(c.stype) for c in found.schema["t"].columns}


def notes(found: Inference) -> dict[tuple[str | None, str | None], list[str]]:
    named: dict[tuple[str | None, str | None], list[str]] = {}
    for n in found.notes:
        named.setdefault((n.table, n.column), []).append(n.name)
    return named


LETTERS = "printf('%c%c%c', 65 + {0}, 65 + (i // 10) % 10, 65 + i % 10)"
AIRPORTS = rows(1000, f"{LETTERS.format('i // 100')} AS faa, 'Airport ' || i AS name, i / 7 AS lat")
FLIGHTS_DATABASE = {
    "airlines": "SELECT unnest(['AS', 'DL', 'UA', 'WN']) AS carrier, unnest(['Alaska', 'Delta', 'United', 'SW']) name",
    "airports": AIRPORTS,
    "flights": rows(
        5000,
        "2014 AS year, 1 + i % 12 AS month, 1 + i % 28 AS day, (i * 7) % 100 - 20 AS arr_delay, "
        "['AS', 'DL', 'UA'][1 + i % 3] AS carrier, if(i % 50 = 0, NULL, 'N' || (i % 300)) AS tailnum, "
        f"1 + i % 700 AS flight, if(i % 2 = 0, 'AAB', 'AAC') AS origin, {LETTERS.format('i % 9')} AS dest",
    ),
    "planes": rows(290, "'N' || i AS tailnum, 1980 + i % 30 AS year, ['A320', 'B737'][1 + i % 2] AS model"),
    "weather": rows(
        2000,
        "if(i % 2 = 0, 'AAB', 'AAC') AS origin, 2014 AS year, 1 + i % 24 AS hour, 20 + i / 7 AS temp, "
        "TIMESTAMP '2014-01-01' + INTERVAL (i) HOUR AS date",
    ),
}


def test_flights_are_understood_without_edits() -> None:
    found = infer(**FLIGHTS_DATABASE)
    schema = found.schema
    assert {t.name: t.primary_key for t in schema if len(t.primary_key) == 1} == {
        "airlines": ("carrier",),
        "airports": ("faa",),
        "planes": ("tailnum",),
    }
    assert links(found) == {
        "flights.carrier": "airlines.carrier",
        "flights.tailnum": "planes.tailnum",
        "flights.origin": "airports.faa",
        "flights.dest": "airports.faa",
        "weather.origin": "airports.faa",
    }
    assert schema["weather"].time_column == "date"
    assert schema["flights"].time_column == "known_at"
    assert schema["flights"]["known_at"].sql == "make_date(year, month, day) + INTERVAL 1 DAY"
    assert schema["flights"]["flight"].stype is Stype.CATEGORICAL
    assert schema["planes"]["year"].stype is Stype.CATEGORICAL
    assert schema["flights"]["tailnum"].stype is Stype.KEY
    assert [c.columns for c in found.containments] == [k.columns for t in schema for k in t.foreign_keys]
    assert "100.00% of 5,000 values are in airports.faa" in found.reasons["flights", "dest"]


def test_dangling_links_and_times_in_pieces_are_reported() -> None:
    found = infer(**FLIGHTS_DATABASE)
    dangling = next(n for n in found.notes if n.name == "dangling-links")
    assert (dangling.table, dangling.column, dangling.severity, dangling.count) == (
        "flights",
        "tailnum",
        "warning",
        160,
    )
    assert "160 of 4,900 values (3.27%) have no row in 'planes' (e.g. N290, N291, N292)" in dangling.message
    pieces = next(n for n in found.notes if n.name == "time-derived")
    assert pieces.message.endswith("made from year, month, day: make_date(year, month, day) + INTERVAL 1 DAY")


def test_a_key_with_one_duplicate_is_still_proposed() -> None:
    found = infer(airports=f"SELECT * REPLACE (if(faa = 'AAB', 'AAC', faa) AS faa) FROM ({AIRPORTS})")
    assert found.schema["airports"].primary_key == ("faa",)
    (note,) = [n for n in found.notes if n.name == "duplicate-key"]
    assert note.message == "'faa' looks like the key of 'airports', but 1 value occurs twice (e.g. AAC)"
    assert (note.severity, note.count, note.column) == ("warning", 1, "faa")


def test_a_key_with_many_duplicates_is_only_pointed_out() -> None:
    found = infer(users=rows(300, "greatest(i, 20) AS user_id, i / 3 AS x"))
    assert found.schema["users"].primary_key == ()
    (note,) = [n for n in found.notes if n.name == "key-not-unique"]
    assert note.message.endswith("20 rows repeat a value of an earlier row (e.g. 20, 21, 22)")


SHOP = {
    "customers": rows(
        1000,
        "sha256(i::VARCHAR) AS customer_id, if(i % 3 = 0, 1.0::DOUBLE, NULL) AS FN, (16 + i % 60)::DOUBLE AS age, "
        "['ACTIVE', 'LEFT CLUB'][1 + i % 2] AS club_member_status, md5((i % 400)::VARCHAR) AS postal_code",
    ),
    "articles": rows(
        800,
        "printf('%010d', 108775015 + i) AS article_id, 108775 + i // 3 AS product_code, "
        "'Strap top ' || i // 4 AS prod_name, 250 + i % 100 AS product_type_no, i % 3 AS index_group_no, "
        "'Jersey top with narrow shoulder straps, style ' || i AS detail_desc",
    ),
    "transactions": rows(
        4000,
        "DATE '2018-09-20' + (i // 40)::INTEGER AS t_dat, sha256((i * 7 % 1000)::VARCHAR) AS customer_id, "
        "printf('%010d', 108775015 + i * 13 % 800) AS article_id, (i * 31 % 977) / 1e4 AS price, "
        "1 + i % 2 AS sales_channel_id",
    ),
}


def test_a_shop_is_understood_without_edits() -> None:
    found = infer(**SHOP, churn_train="SELECT 1 AS customer_id", churn_test="SELECT 1 AS customer_id")
    schema = found.schema
    assert [(t.name, t.primary_key, t.time_column) for t in schema] == [
        ("customers", ("customer_id",), None),
        ("articles", ("article_id",), None),
        ("transactions", (), "t_dat"),
    ]
    assert links(found) == {
        "transactions.customer_id": "customers.customer_id",
        "transactions.article_id": "articles.article_id",
    }
    assert {c.name: str(c.stype) for t in schema for c in t.columns if c.stype is not Stype.KEY} == {
        "FN": "categorical",
        "age": "numerical",
        "club_member_status": "categorical",
        "postal_code": "categorical",
        "product_code": "categorical",
        "prod_name": "categorical",
        "product_type_no": "categorical",
        "index_group_no": "categorical",
        "detail_desc": "text",
        "t_dat": "timestamp",
        "price": "numerical",
        "sales_channel_id": "categorical",
    }
    assert [n for n in found.notes if n.severity != "info"] == []


def test_names_with_the_word_id_in_the_middle_and_yearly_rows() -> None:
    """As in the baseball data: no link by years, small numbers or a table that merely mentions players."""
    found = infer(
        People=rows(
            900,
            "'player' || i AS playerID, if(i % 9 = 0, NULL, 'b' || i) AS bbrefID, 1900 + i % 90 AS birthYear, "
            "DATE '1900-01-01' + i::INTEGER AS birthDate, DATE '1990-01-01' + i::INTEGER AS finalGame, "
            "if(i % 50 = 0, NULL, DATE '1920-01-01' + i::INTEGER) AS debut",
        ),
        AwardsPlayers=rows(600, "'player' || i % 300 AS playerID, 'MVP' || i % 4 AS awardID, 1950 + i % 60 AS yearID"),
        Schools=rows(100, "'school' || i AS schoolID, 'School of the town number ' || i AS name_full"),
        CollegePlaying=rows(
            2000, "'player' || i % 900 AS playerID, 'school' || i % 101 AS schoolID, 1950 + i % 60 AS yearID"
        ),
        TeamsFranchises=rows(60, "'F' || i AS franchID, 'The ' || i AS franchName"),
        Teams=rows(1800, "1950 + i % 60 AS yearID, 'T' || i % 30 AS teamID, 'F' || i % 60 AS franchID, i % 40 AS W"),
        HomeGames=rows(
            900,
            """1950 + i % 60 AS "year.key", 'P' || i % 40 AS "park.key", DATE '1950-04-01' + i::INTEGER AS "span.first",
            DATE '1950-09-01' + i::INTEGER AS "span.last" """,
        ),
        Parks=rows(40, """'Park ' || i AS "park.alias", 'P' || i AS "park.key" """),
    )
    assert {t.name: t.primary_key for t in found.schema if len(t.primary_key) == 1} == {
        "People": ("playerID",),
        "Schools": ("schoolID",),
        "TeamsFranchises": ("franchID",),
        "Parks": ("park.key",),
    }
    assert links(found) == {
        "AwardsPlayers.playerID": "People.playerID",
        "CollegePlaying.playerID": "People.playerID",
        "CollegePlaying.schoolID": "Schools.schoolID",
        "Teams.franchID": "TeamsFranchises.franchID",
        "HomeGames.park.key": "Parks.park.key",
    }
    assert found.schema["People"].time_column is None  # the only fitting date, debut, is missing too often
    assert notes(found)["People", "debut"] == ["time-column-nulls"]
    assert found.schema["HomeGames"].time_column == "span.last"
    (asked,) = [q for q in found.questions if q.subject == "time"]
    assert asked.tables == ("AwardsPlayers", "CollegePlaying", "Teams")
    assert asked.answers[0].lines == (
        "time: known_at",
        'columns: {known_at: {type: timestamp, sql: "make_date(yearID, 12, 31)"}}',
    )
    assert found.schema["Teams"]["known_at"].sql == "make_date(yearID, 12, 31)"
    assert found.settled["Teams"].time_column is None
    assert found.schema["People"]["bbrefID"].stype is Stype.IGNORE


def test_declared_constraints_win() -> None:
    found = infer(
        declared={
            "teams": Declared(primary_key=("year", "team"), unique=(("code",),)),
            "games": Declared(
                primary_key=("date", "n"),
                foreign_keys=(
                    ForeignKey(columns=("year", "team"), table="teams"),
                    ForeignKey(columns=("code",), table="teams", to=("code",)),
                    ForeignKey(columns=("park",), table="parks"),
                    ForeignKey(columns=("n",), table="teams", to=("code",)),
                ),
            ),
        },
        teams=rows(30, "2000 + i AS year, 'T' || i % 29 AS team, 'c' || i AS code, i AS id"),
        games="SELECT DATE '2020-01-01' + i::INTEGER AS date, i AS n, 2000 + i % 31 AS year, 'T' || i % 31 AS team, "
        "'c' || i % 30 AS code, 'p' AS park FROM range(90) AS t(i)",
    )
    teams, games = found.schema["teams"], found.schema["games"]
    assert teams.primary_key == ("year", "team")
    assert teams.candidate_keys == (("code",), ("id",))
    assert games.foreign_keys == (
        ForeignKey(columns=("year", "team"), table="teams"),
        ForeignKey(columns=("code",), table="teams", to=("code",)),
    )
    assert games.time_column == "date"  # part of the key, and still the time
    assert games["date"].stype is Stype.TIMESTAMP
    assert all(games[c].stype is Stype.KEY for c in ("year", "team", "code"))
    assert found.containments[0].num_missing == 4
    assert notes(found)["games", "park"] == ["unusable-link", "constant-column"]
    assert notes(found)["games", "n"] == ["link-type-mismatch"]


def test_a_table_may_link_to_itself_but_not_by_its_own_number() -> None:
    found = infer(
        customers="SELECT i AS customer_id, if(i > 5, i // 2, NULL) AS referred_by, i % 7 AS previous_orders, "
        "i % 90 AS customer FROM range(500) AS t(i)",
        categories=rows(90, "i AS category_id, if(i > 0, i // 3, NULL) AS parent_category_id"),
    )
    assert links(found) == {
        "customers.referred_by": "customers.customer_id",
        "categories.parent_category_id": "categories.category_id",
    }


def test_links_by_name_in_their_many_spellings() -> None:
    found = infer(
        customers=rows(100, "i AS id"),
        addresses=rows(100, "i + 1000 AS address_id"),
        dim_product=rows(100, "'p' || i AS code"),
        orders=rows(
            400,
            "i AS order_id, i % 100 AS customerId, (i % 100)::DOUBLE AS cust_id, 1000 + i % 100 AS billing_address_id, "
            "1000 + i % 99 AS address_ship, 'p' || i % 100 AS product, i % 5 AS num_customers, i % 9 AS item, "
            "i % 3 AS code",
        ),
        order_items=rows(800, "i // 2 AS order_id, i % 100 AS item"),
    )
    assert links(found) == {
        "orders.customerId": "customers.id",
        "orders.cust_id": "customers.id",
        "orders.billing_address_id": "addresses.address_id",
        "orders.product": "dim_product.code",
        "order_items.order_id": "orders.order_id",
    }


def test_a_detail_table_links_to_the_table_that_owns_the_key() -> None:
    rows = "i AS customer_id, i / 7 AS x FROM range(300) AS t(i)"
    found = infer(customer_details=f"SELECT {rows} WHERE i < 200", customers=f"SELECT {rows}")
    assert found.schema["customers"].primary_key == ("customer_id",)
    assert found.schema["customer_details"].primary_key == ()
    assert links(found) == {"customer_details.customer_id": "customers.customer_id"}


def test_two_declared_keys_of_one_name_link_from_the_smaller_table() -> None:
    key = Declared(primary_key=("faa",))
    found = infer(
        declared={"airports": key, "towers": key},
        towers=rows(50, "'A' || i AS faa"),
        airports=rows(200, "'A' || i AS faa"),
    )
    assert links(found) == {"towers.faa": "airports.faa"}


def test_small_whole_numbers_make_no_link() -> None:
    found = infer(
        colours=rows(500, "i AS id, 'c' || i AS label"),
        rows=rows(3000, "i % 40 AS quantity, i % 30 AS step, i % 25 AS level, i % 300 AS x"),
    )
    assert links(found) == {}


def test_texts_that_only_happen_to_be_keys_make_no_link() -> None:
    """Two leagues are not two countries."""
    found = infer(
        countries=rows(676, "printf('%c%c', 65 + i // 26, 65 + i % 26) AS code"),
        games=rows(100, "['AL', 'NL'][1 + i % 2] AS league, i / 3 AS x"),
    )
    assert links(found) == {}


def test_of_several_targets_the_better_name_wins_and_the_others_are_told() -> None:
    ids = rows(100, "'a' || i AS {}")
    found = infer(
        accounts=ids.format("account_id"),
        holders=ids.format("holder"),
        moves=rows(900, "'a' || i % 100 AS account_id, i / 3 AS amount"),
    )
    assert links(found)["moves.account_id"] == "accounts.account_id"
    (note,) = [n for n in found.notes if n.name == "other-links"]
    assert note.message == "linked to 'accounts'; also possible: holders.holder (100%)"


def test_types_that_differ_and_names_without_matches_are_warned_of() -> None:
    found = infer(
        articles=rows(100, "printf('%05d', i) AS article_id"),
        shops=rows(100, "'s' || i AS shop_id"),
        sales=rows(900, "i % 100 AS article_id, 'x' || i % 90 AS shop_id"),
    )
    assert links(found) == {}
    by_name = {n.name: n for n in found.notes}
    mismatch, weak = by_name["link-type-mismatch"], by_name["weak-link"]
    assert "holds BIGINT where 'article_id' holds VARCHAR" in mismatch.message
    assert "100.0% of its values aren't there (e.g. x0, x1, x10); not linked" in weak.message


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("t_dat", "t_dat"),
        ("birth_date", None),
        ("birthdate", None),
        ("expires_at, updated_at", None),
        ("updated_at, created_at", "created_at"),
        ("shipped_date, created_at", "created_at"),
        ("start_date, end_date", "start_date"),
        ("moment", "moment"),
        ("valid_from, valid_to", "valid_from"),
        ("last_login", None),
        ("first_seen, last_seen", "last_seen"),
    ],
)
def test_the_time_column_says_when_a_row_became_known(columns: str, expected: str | None) -> None:
    dates = ", ".join(f"DATE '2020-01-01' + (i + {n})::INTEGER AS {c}" for n, c in enumerate(columns.split(", ")))
    found = infer(t=rows(100, f"i AS id, {dates}"))
    assert found.schema["t"].time_column == expected


def test_a_time_with_gaps_is_used_only_if_it_is_named_like_one() -> None:
    gaps = "if(i % 5 = 0, NULL, TIMESTAMP '2020-01-01' + INTERVAL (i) DAY)"
    found = infer(events=rows(100, f"{gaps} AS timestamp, i / 3 AS x"))
    assert found.schema["events"].time_column == "timestamp"
    assert notes(found)["events", "timestamp"] == ["time-nulls"]
    assert infer(events=rows(100, f"{gaps} AS moment")).schema["events"].time_column is None


def test_whole_numbers_are_codes_or_amounts() -> None:
    found = stypes(
        "i % 5 AS sales_channel_id, i % 300 AS product_type_no, i * 3 AS serial_no, i % 12 AS month, i % 60 AS age, "
        "i % 15 AS num_items, 1990 + i % 9 AS year_built, i % 400 AS distance, i % 2 AS member, i % 999 AS visits, "
        "greatest(0, i % 9 - i % 7 - i % 5) AS goals, 1.0 * (i % 3) AS engines"
    )
    assert found == {
        "pad": "ignore",
        "first": "numerical",
        "sales_channel_id": "categorical",
        "product_type_no": "categorical",
        "serial_no": "key",
        "month": "categorical",
        "age": "numerical",
        "num_items": "numerical",
        "year_built": "categorical",
        "distance": "numerical",
        "member": "categorical",
        "visits": "numerical",
        "goals": "numerical",
        "engines": "numerical",
    }


def test_texts_are_labels_prose_or_identifiers() -> None:
    found = stypes(
        "['ACTIVE', 'LEFT'][1 + i % 2] AS status, 'Some words that tell of thing ' || i AS description, "
        "'Ann ' || chr((97 + i % 26)::INTEGER) || chr((97 + i // 26)::INTEGER) AS person, "
        "md5(least(i, 998)::VARCHAR) AS hash, "
        "(DATE '2020-01-01' + i::INTEGER)::VARCHAR AS day, 'the ' || i % 3 || ' long names of a few classes' AS label"
    )
    assert found == {
        "pad": "ignore",
        "first": "numerical",
        "status": "categorical",
        "description": "text",
        "person": "text",
        "hash": "ignore",
        "day": "ignore",
        "label": "categorical",
    }


def test_lists_booleans_and_what_is_not_supported() -> None:
    found = infer(
        t="SELECT 0.5 * i AS x, [i / 2, i]::FLOAT[2] AS fixed, [i / 2, 1.0::DOUBLE] AS vector, "
        "[x / 2 FOR x IN range(1 + i % 3)] AS ragged, ['a', 'b'][:1 + i % 2] AS tags, [i % 3, 1] AS codes, "
        "i % 2 = 0 AS yes, encode(i::VARCHAR) AS blob, {'a': i} AS struct, NULL::VARCHAR AS empty, "
        'i AS "Unnamed: 0" FROM range(50) AS t(i)'
    )
    assert {c.name: str(c.stype) for c in found.schema["t"].columns} == {
        "x": "numerical",
        "fixed": "embedding",
        "vector": "embedding",
        "ragged": "ignore",
        "tags": "multicategorical",
        "codes": "multicategorical",
        "yes": "boolean",
        "blob": "ignore",
        "struct": "ignore",
        "empty": "ignore",
        "Unnamed: 0": "ignore",
    }
    ignored = {n.column: (n.name, n.message) for n in found.notes}
    assert ignored == {
        "ragged": ("unsupported-type", "ignored: lists of 1 to 3 numbers: no fixed width"),
        "blob": ("unsupported-type", "ignored: columns of type BLOB aren't supported"),
        "struct": ("unsupported-type", "ignored: columns of type STRUCT(a BIGINT) aren't supported"),
        "empty": ("empty-column", "ignored: every row is NULL"),
        "Unnamed: 0": ("row-number", "ignored: it numbers the rows"),
    }


def test_every_column_has_a_reason() -> None:
    found = infer(**FLIGHTS_DATABASE)
    assert {(t.name, c.name) for t in found.schema for c in t.columns} <= set(found.reasons)
    assert all(found.reasons.values())


def test_task_tables_and_predictions_are_left_out() -> None:
    one = "SELECT 1 AS x"
    found = infer(
        **{
            "CHURN_TRAIN": one,
            "churn_test": one,
            "blood_test": one,
            "sales_validation": one,
            "tasks.late": one,
            "PREDICTIONS_CHURN": one,
            "scores": "SELECT 1 AS RUN_ID, 2 AS model_version, 3 AS predicted_at",
        }
    )
    assert list(found.schema.tables) == ["blood_test"]
    assert found.left_out["churn_test"] == "it is named like the test table of task 'churn'"
    assert found.left_out["scores"] == found.left_out["PREDICTIONS_CHURN"] == "it holds predictions"
    assert found.left_out["tasks.late"] == "it is in the schema of tasks"


def test_a_table_of_two_links_may_be_edges() -> None:
    found = infer(
        users=rows(50, "i AS user_id"),
        groups=rows(50, "'g' || i AS group_key"),
        members=rows(300, "i % 50 AS user_id, 'g' || i % 7 AS group_key, DATE '2020-01-01' + i::INTEGER AS joined"),
    )
    assert found.schema["members"].kind == "node"
    assert "edge-possible" in notes(found)["members", None]


def test_empty_tables_are_typed_and_linked_by_name() -> None:
    found = infer(
        users=rows(50, "i AS user_id"),
        orders="SELECT 1 AS user_id, 1.5 AS price, 'a' AS status, DATE '2020-01-01' AS created_at LIMIT 0",
        nothing="SELECT 1 AS id LIMIT 0",
    )
    orders = found.schema["orders"]
    assert links(found) == {"orders.user_id": "users.user_id"}
    assert (orders.time_column, orders["price"].stype, orders["status"].stype) == (
        "created_at",
        "numerical",
        "categorical",
    )
    with duckdb.connect() as connection:
        nothing = TableMeasures(connection=connection, relations={}, dtypes={})
        assert propose({}, nothing).schema == Schema({})


def test_odd_names_do_no_harm() -> None:
    found = infer(
        **{"数据": 'SELECT i AS "顧客", 1 AS "1", i % 3 AS "___" FROM range(50) AS t(i)', "_": 'SELECT 1 AS "x""y"'}
    )
    assert found.schema["数据"].primary_key == ("顧客",)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("UBIGINT", "integer"),
        ("DECIMAL(18,3)", "float"),
        ("ENUM('a', 'b')", "text"),
        ("TIMESTAMP WITH TIME ZONE", "time"),
        ("TIMESTAMP_NS", "time"),
        ("TIME", "other"),
        ("VARCHAR[]", "list"),
        ("VARCHAR[][]", "other"),
        ("STRUCT(a INTEGER[])", "other"),
        ("JSON", "other"),
    ],
)
def test_storage_kinds(dtype: str, kind: str) -> None:
    assert storage_kind(dtype) == kind


def test_dates_stored_as_text_are_warned_of_with_the_sql_that_mends_them() -> None:
    found = infer(events=rows(60, """(DATE '2020-01-01' + i::INTEGER)::VARCHAR AS "at day", i / 3 AS x"""))
    (note,) = [n for n in found.notes if n.name == "dates-as-text"]
    assert note.severity == "warning"
    assert note.message.endswith('CAST("at day" AS TIMESTAMP)')
