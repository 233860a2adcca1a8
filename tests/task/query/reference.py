"""What queries mean, slowly and obviously: rows as dictionaries, one pair of entity and seed time at a time.

Works on the syntax tree alone and shares nothing with binding or compilation. Also makes random queries.
"""

# ruff: noqa: E501  # a query and what is said of it stand on one line

import calendar
import datetime as dt
import random
import re

import duckdb

from foreknow.schema.table import ForeignKey, Schema
from foreknow.task.query.syntax import Aggregation, Combination, Moment, Negation
from foreknow.testing.toy import make_table

DAY = dt.timedelta(days=1)
START = dt.datetime(2024, 1, 1)
SEEDS = [START + n * DAY for n in (20, 31, 59, 60)]


def schema():
    region = make_table(
        "r", "id BIGINT key, kind VARCHAR categorical, opened DATE timestamp", primary_key=("id",), time_column="opened"
    )
    users = make_table(
        "u",
        "id BIGINT key, born TIMESTAMP timestamp, x DOUBLE numerical, g VARCHAR categorical, ok BOOLEAN boolean, "
        "ref BIGINT key, r BIGINT key",
        primary_key=("id",),
        foreign_keys=(ForeignKey(columns=("ref",), table="u"), ForeignKey(columns=("r",), table="r")),
        time_column="born",
    )
    products = make_table("p", "id BIGINT key, kind VARCHAR categorical, cost BIGINT numerical", primary_key=("id",))
    orders = make_table(
        "o",
        "id BIGINT key, u BIGINT key, p BIGINT key, at TIMESTAMP timestamp, x DOUBLE numerical, c VARCHAR categorical, "
        "ok BOOLEAN boolean",
        primary_key=("id",),
        foreign_keys=(ForeignKey(columns=("u",), table="u"), ForeignKey(columns=("p",), table="p")),
        time_column="at",
    )
    return Schema({t.name: t for t in (region, users, products, orders)})


def database(seed):
    """Rows by table; times fall on, just before and just after seed times and months' ends, in no order."""
    rng = random.Random(seed)
    some = lambda *values: rng.choice([None, *values, *values])  # noqa: E731
    moments = [
        START + rng.randint(-40, 130) * DAY + rng.choice([0, 0, 1, -1, 3600]) * dt.timedelta(seconds=1)
        for _ in range(25)
    ]
    moments += [s + k * DAY for s in SEEDS for k in (-7, 0, 7, 29, 30)]
    rows = {
        "r": [{"id": i, "kind": some("a", "b"), "opened": some(*(m.date() for m in moments))} for i in range(3)],
        "u": [
            {
                "id": i, "born": rng.choice([START - 300 * DAY, *moments, None]), "x": some(-1.0, 0.0, 2.5, 7.0),
                "g": some("a", "b", "it's"), "ok": some(True, False), "ref": some(0, 1, 2, 9), "r": some(0, 1, 2),
            }
            for i in range(6)
        ],
        "p": [{"id": i, "kind": some("a", "b", "c"), "cost": some(1, 2, 3)} for i in range(3)],
        "o": [
            {
                "id": i, "u": some(0, 1, 2, 3, 4, 9), "p": some(0, 1, 2, 9), "at": rng.choice([*moments, None]),
                "x": some(-2.0, 0.0, 0.5, 3.0), "c": some("a", "b", "ab"), "ok": some(True, False),
            }
            for i in range(40)
        ],
    }  # fmt: skip
    for table in rows.values():
        rng.shuffle(table)
    return rows


def fill(connection, rows):
    for table in schema():
        columns = ", ".join(f'"{c.name}" {c.dtype}' for c in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({columns})")
        marks = ", ".join("?" for _ in table.columns)
        values = [list(r.values()) for r in rows[table.name]]
        connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", values)


def connect(seed):
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
    rows = database(seed)
    fill(connection, rows)
    return connection, rows


# --- meaning


def shift(t, number, unit):
    if unit.rstrip("s") != "month":
        seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}[unit.rstrip("s")]
        return t + number * dt.timedelta(seconds=seconds)
    month = t.month - 1 + number
    year, month = t.year + month // 12, month % 12 + 1
    return t.replace(year=year, month=month, day=min(t.day, calendar.monthrange(year, month)[1]))


class Meaning:
    """Of one query on one database."""

    def __init__(self, query, rows):
        self.query, self.rows = query, rows
        self.by_id = {name: {r["id"]: r for r in table} for name, table in rows.items()}

    def labels(self):
        """(seed time, id, label) of every row of the task table, in its order."""
        found = []
        for t in SEEDS:
            for entity in sorted(self.rows["u"], key=lambda r: r["id"]):
                if entity["born"] is None or entity["born"] > t:
                    continue
                if self.query.where is not None and self.truth(self.query.where, entity, t) is not True:
                    continue
                if self.query.assuming is not None and self.truth(self.query.assuming, entity, t) is not True:
                    continue
                label = self.label(entity, t)
                if label is not None:
                    found.append((t, entity["id"], label))
        return found

    def label(self, entity, t):
        target = self.query.target
        if getattr(target, "operator", None) == "bare":
            return self.aggregate(target.operand, entity, t)[0]
        return self.truth(target, entity, t)

    def truth(self, part, entity, t, row=None):
        if isinstance(part, Negation):
            inner = self.truth(part.part, entity, t, row)
            return None if inner is None else not inner
        if isinstance(part, Combination):
            truths = [self.truth(p, entity, t, row) for p in part.parts]
            decided = part.operator == "OR"
            return decided if decided in truths else None if None in truths else not decided
        if isinstance(part.operand, Aggregation):
            value, is_empty = self.aggregate(part.operand, entity, t)
        else:
            value = self.column(part.operand, entity, t, row)
            is_empty = value is None
        if part.operator == "is null":
            return is_empty != part.negated
        if (
            part.operator == "contains"
            and isinstance(part.operand, Aggregation)
            and part.operand.function.text == "LIST_DISTINCT"
        ):
            return (literal(part.values[0]) in (value or [])) != part.negated
        if part.operator == "in" and not part.values:
            return part.negated
        if value is None:
            return None
        return compare(part, value) != part.negated

    def column(self, written, entity, t, row):
        table, name = written.table.text, written.column.text
        if row is not None:
            owner = row if table == "o" else self.by_id[table].get(row["p" if table == "p" else "u"])
            return None if owner is None else owner[name]
        if table == "u":
            return entity[name]
        parent = self.by_id["r"].get(entity["r"])
        opened = parent and parent["opened"] and dt.datetime.combine(parent["opened"], dt.time())
        return parent[name] if opened is not None and opened and opened <= t else None

    def belongs(self, a, row, entity, t):
        """Whether a row is the entity's, along the path; in the past only over owners that exist by then."""
        if not a.via or len(a.via) == 1:
            return row["u"] == entity["id"]
        owner = self.by_id["u"].get(row["u"])
        if owner is None or owner["ref"] != entity["id"]:
            return False
        is_past = int(a.window.end.text) <= 0
        return not is_past or (owner["born"] is not None and owner["born"] <= t)

    def inner(self, a, row, entity, t):
        if a.where is None:
            return True
        if int(a.window.end.text) > 0:
            return self.truth(a.where, entity, t, row) is True
        hidden = dict(self.by_id["u"])
        for key, owner in hidden.items():  # in the past, columns of parents later than t are unknown
            if owner["born"] is None or owner["born"] > t:
                hidden[key] = dict.fromkeys(owner)
        seen, self.by_id = self.by_id, {**self.by_id, "u": hidden}
        try:
            return self.truth(a.where, entity, t, row) is True
        finally:
            self.by_id = seen

    def aggregate(self, a, entity, t):
        """The value, and whether IS NULL holds of it."""
        unit = a.window.unit.text if a.window.unit else "days"
        high = shift(t, int(a.window.end.text), unit)
        low = None if a.window.start.is_infinite else shift(t, int(a.window.start.text), unit)
        rows = [
            r
            for r in self.rows["o"]
            if r["at"] is not None
            and r["at"] <= high
            and (low is None or r["at"] > low)
            and self.belongs(a, r, entity, t)
            and self.inner(a, r, entity, t)
        ]
        rows.sort(key=lambda r: (r["at"], r["id"]))
        values = [1] * len(rows) if a.source.column is None else [r[a.source.column.text] for r in rows]
        values = [v for v in values if v is not None]
        function = a.function.text.upper()
        empty = not values
        result = {
            "COUNT": lambda: len(values),
            "COUNT_DISTINCT": lambda: len(set(values)),
            "EXISTS": lambda: bool(values),
            "SUM": lambda: sum(values),
            "AVG": lambda: sum(values) / len(values) if values else None,
            "MIN": lambda: min(values, default=None),
            "MAX": lambda: max(values, default=None),
            "FIRST": lambda: values[0] if values else None,
            "LAST": lambda: values[-1] if values else None,
            "LIST_DISTINCT": lambda: sorted(set(values)) or None,
        }[function]()
        return result, empty


def literal(value):
    if value.kind == "number":
        return float(value.value)
    return value.value.time.replace(tzinfo=None) if isinstance(value.value, Moment) else value.value


def compare(part, value):
    given = [literal(v) for v in part.values]
    if isinstance(value, dt.datetime):
        given = [dt.datetime.fromisoformat(v) if isinstance(v, str) else v for v in given]
    match part.operator:
        case "bare":
            return bool(value)
        case "in":
            return value in given
        case "between":
            return given[0] <= value <= given[1]
        case "like":
            pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in given[0])
            return re.fullmatch(pattern, value, re.DOTALL) is not None
        case "starts with":
            return value.startswith(given[0])
        case "ends with":
            return value.endswith(given[0])
        case "contains":
            return given[0] in value
        case sign:
            return {
                "=": value == given[0], "!=": value != given[0], "<": value < given[0],
                "<=": value <= given[0], ">": value > given[0], ">=": value >= given[0],
            }[sign]  # fmt: skip


# --- random queries


class Writer:
    """Writes well-typed queries."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def query(self):
        target = self.pick(
            lambda: self.aggregation("target", bare=True), lambda: self.condition(self.temporal("target"))
        )
        text = f"PREDICT {target} FOR EACH u.id"
        if self.rng.random() < 0.6:
            past = self.temporal("WHERE")
            text += " WHERE " + self.condition(lambda: self.pick(past, past, self.static))
        if self.rng.random() < 0.3:
            text += " ASSUMING " + self.condition(self.temporal("ASSUMING"))
        return text

    def pick(self, *makers):
        return self.rng.choice(makers)()

    def condition(self, test, depth=2):
        if depth == 0 or self.rng.random() < 0.5:
            return test()
        if self.rng.random() < 0.3:
            return f"NOT ({self.condition(test, depth - 1)})"
        word = self.rng.choice([" AND ", " OR "])
        return "(" + word.join(self.condition(test, depth - 1) for _ in range(self.rng.randint(2, 3))) + ")"

    def window(self, clause):
        unit = self.rng.choice(["", ", days", ", week", ", hours", ", month", ", months", ", seconds"])
        size = {"": 40, ", days": 40, ", week": 6, ", hours": 900, ", month": 2, ", months": 3, ", seconds": 90_000}[
            unit
        ]
        a, b = sorted(self.rng.sample(range(size + 1), 2))
        if clause != "WHERE":
            return f", {a}, {b}{unit}"
        start = "-INF" if self.rng.random() < 0.2 else -b
        return f", {start}, {-a if a else 0}{unit}"

    def aggregation(self, clause, function=None, column=None, bare=False):
        rng = self.rng
        if function is None:
            function = rng.choice(["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST", "EXISTS"])
        if column is None:
            choices = {"COUNT": ["*", "x", "c"], "COUNT_DISTINCT": ["p", "c"], "EXISTS": ["*", "x"]}
            column = rng.choice(choices.get(function, ["x"]))
            if bare and function in ("FIRST", "LAST"):
                column = rng.choice(["x", "c", "ok"])
        via = rng.choice(["", "", "", " VIA o.u", " VIA (o.u, u.ref)"])
        inner = ""
        if rng.random() < 0.4:
            inner = " WHERE " + self.condition(self.inner, 1)
        return f"{function}(o.{column}{via}{inner}{self.window(clause)})"

    def temporal(self, clause):
        def make():
            rng = self.rng
            if rng.random() < 0.15:
                no = rng.choice(["", "NOT "])
                return f"{self.aggregation(clause, 'LIST_DISTINCT', 'c')} {no}CONTAINS 'a'"
            if rng.random() < 0.15:
                return (
                    f"{self.aggregation(clause, rng.choice(['SUM', 'AVG', 'MIN']))} IS {rng.choice(['', 'NOT '])}NULL"
                )
            if rng.random() < 0.15:
                return self.aggregation(clause, "EXISTS")
            if rng.random() < 0.15:
                return f"{self.aggregation(clause, rng.choice(['FIRST', 'LAST']), 'c')} {self.text()}"
            function = rng.choice(["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"])
            return f"{self.aggregation(clause, function)} {self.number()}"

        return make

    def number(self):
        n = lambda: self.rng.choice(["0", "1", "2", "-1.5", "+3", "1e1", ".5"])  # noqa: E731
        no = self.rng.choice(["", "NOT "])
        return self.rng.choice(
            [f"= {n()}", f"!= {n()}", f"> {n()}", f"<= {n()}", f"<> {n()}", f"{no}IN ({n()}, {n()})", f"{no}IN ()", f"{no}BETWEEN {n()} AND {n()}"]
        )  # fmt: skip

    def text(self):
        word = lambda: self.rng.choice(["'a'", "'b'", "'ab'", "'it''s'", "''"])  # noqa: E731
        no = self.rng.choice(["", "NOT "])
        return self.rng.choice(
            [f"= {word()}", f"!= {word()}", f"< {word()}", f"{no}LIKE '%b'", f"{no}LIKE '_'", f"{no}STARTS WITH {word()}",
             f"{no}ENDS WITH {word()}", f"{no}CONTAINS {word()}", f"{no}IN ({word()}, {word()})", "IS NULL", "IS NOT NULL"]
        )  # fmt: skip

    def inner(self):
        return self.pick(
            lambda: f"o.x {self.number()}",
            lambda: f"o.c {self.text()}",
            lambda: "o.ok",
            lambda: f"p.kind {self.text()}",
            lambda: f"p.cost {self.number()}",
            lambda: f"u.x {self.number()}",
        )

    def static(self):
        return self.pick(
            lambda: f"u.x {self.number()}",
            lambda: f"u.g {self.text()}",
            lambda: self.rng.choice(["u.ok", "u.ok = FALSE"]),
            lambda: f"r.kind {self.text()}",
            lambda: (
                f"u.born {self.rng.choice(['<', '>='])} {self.rng.choice(['2024-01-15', chr(39) + '2024-02-01' + chr(39)])}"
            ),
        )


TOKEN = re.compile(r"'[^']*'|[\w.]+|[^\s\w]")
JUNK = ["WHERE", "AND", "NOT", "(", ")", ",", "'x", '"', "7", "-7", "INF", "NULL", "o", "o.*", "u.idd", "SUM(", "FOR EACH", "=", "1e999",
        "DATE '2024-99-99'", "99999999999999999999", "months", "LIST_DISTINCT(o.c, 0, 7)", "%", "\n--", ";", "ä", "\0", "TRUE", "RANK TOP 0",
        "CLASSIFY", "EVERY 3 days", "AS OF 'x'", "ASSUMING u.x > 3", "VIA o.p"]  # fmt: skip


def broken(text, seed):
    """A query with one to three things wrong, or perhaps still right."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        tokens = TOKEN.findall(text) or ["x"]
        at = rng.randrange(len(tokens))
        match rng.randrange(4):
            case 0:
                del tokens[at]
            case 1:
                tokens.insert(at, rng.choice(JUNK))
            case 2:
                tokens[at] = rng.choice([*JUNK, *tokens])
            case _:
                tokens[at] = tokens[at][: len(tokens[at]) // 2] + rng.choice(["", "z", "'"])
        text = " ".join(tokens).replace(" . ", ".").replace("o. *", "o.*")
    return text
