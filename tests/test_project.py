"""The project file: what may stand in it, and what is said about the rest."""

import datetime as dt

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foreknow.errors import ConfigError
from foreknow.project import (
    Project,
    ProjectFile,
    build_schema,
    derived_columns,
    frozen_until,
    load_project,
    make_config,
    parse_task,
    project_text,
    task_from_file,
    unmentioned,
)
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.toy import PROJECT, toy_schema
from foreknow.train.config import TrainConfig
from foreknow.types import Stype, TaskType


def read_task(name, value):
    return task_from_file(name, parse_task(name, value))


@pytest.fixture
def load(tmp_path):
    def run(text):
        (tmp_path / "foreknow.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_project(tmp_path)

    return run


@pytest.fixture
def problems(load):
    """What is said about a file, a line per problem, without the file's path."""

    def run(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        lines = str(caught.value).split("foreknow.yaml: ", 1)[1].replace("\n  Hint:", " |").splitlines()
        return [line.removeprefix("- ") for line in lines if not line.endswith("problems.")]

    return run


def tables_of(text):
    return ProjectFile(source="x", tables=yaml.safe_load(text)).tables


# --- reading ------------------------------------------------------------------------------------------------


def test_the_toy_project_is_the_toy_schema(load):
    project = load(PROJECT)
    columns = {t.name: {c.name: c.dtype for c in t.columns} for t in toy_schema()}
    assert build_schema(project.file.tables, columns, {}) == toy_schema()
    assert unmentioned(project.file.tables, columns) == set()
    assert project.dataset == "Toy"
    task = task_from_file("Buys", project.task("Buys"))
    assert (task.type, task.metric, task.time, task.inclusive) == (TaskType.BINARY, "roc_auc", "seed_time", True)
    assert list(task.tables) == ["train", "validation", "test"]
    assert project.file.train == {"epochs": 2, "channels": 8, "num_neighbors": [4, 4], "batch_size": 2}


def test_a_file_and_its_folder_are_the_same_project(load, tmp_path):
    project = load("source: x.duckdb\n")
    assert load_project(tmp_path / "foreknow.yaml") == project
    assert (project.base, project.path) == (tmp_path.resolve(), tmp_path / "foreknow.yaml")


def test_a_source_alone_is_a_project(load):
    project = load("source: data/sales.csv.gz\n")
    assert (project.file.tables, project.file.tasks, project.dataset) == (None, {}, "sales")


@pytest.mark.parametrize(
    ("source", "name"), [("hm.duckdb", "hm"), ("/data/shop", "shop"), ("a.b.parquet", "a"), (".", "Dataset")]
)
def test_a_data_set_without_name_is_called_after_its_source(source, name):
    assert Project(file=ProjectFile(source=source)).dataset == name


def test_every_form_of_a_table():
    files = tables_of("""
        Batting:
          key: [playerID, yearID, stint]
          links: [{columns: [yearID, lgID, teamID], table: Teams}, {columns: [playerID], table: People, to: [bbrefID]}]
        season:
          columns: {season_end: {sql: "make_date(yearID, 12, 31)"}, n: {type: categorical, sql: '1'}}
          time: season_end
        follows: {kind: edge, links: {follower: users, followed: users.mail}}
        users: {key: id, keys: [mail, [first, last]], columns: {age: {type: numerical}, bio: text}}
        crm.notes: {links: {user: crm.users, other: crm.users.id}}
        crm.users: {}
    """)
    columns = {
        "Batting": {
            "playerID": "VARCHAR",
            "yearID": "BIGINT",
            "stint": "BIGINT",
            "lgID": "VARCHAR",
            "teamID": "VARCHAR",
            "H": "BIGINT",
        },
        "season": {"yearID": "BIGINT", "season_end": "DATE", "n": "INTEGER"},
        "follows": {"follower": "BIGINT", "followed": "BIGINT"},
        "users": dict.fromkeys(("id", "mail", "first", "last", "age", "bio"), "VARCHAR"),
        "crm.notes": {"user": "BIGINT", "other": "BIGINT"},
        "crm.users": {"id": "BIGINT"},
    }
    schema = build_schema(files, columns, {("Batting", "H"): Stype.NUMERICAL})
    batting, season, follows, users, notes = (schema[t] for t in list(files)[:5])
    assert batting.primary_key == ("playerID", "yearID", "stint")
    assert batting.foreign_keys == (
        ForeignKey(columns=("yearID", "lgID", "teamID"), table="Teams"),
        ForeignKey(columns=("playerID",), table="People", to=("bbrefID",)),
    )
    assert [str(c.stype) for c in batting.columns] == ["key"] * 5 + ["numerical"]
    assert [(c.name, str(c.stype), c.sql) for c in season.columns] == [
        ("yearID", "ignore", None),
        ("season_end", "timestamp", "make_date(yearID, 12, 31)"),
        ("n", "categorical", "1"),
    ]
    assert season.time_column == "season_end"
    assert (follows.kind, follows.foreign_keys[1].to) == ("edge", ("mail",))
    assert users.candidate_keys == (("mail",), ("first", "last"))
    assert {c.name: str(c.stype) for c in users.columns if c.name in ("age", "bio", "last")} == {
        "age": "numerical",
        "bio": "text",
        "last": "key",
    }
    assert notes.foreign_keys == (
        ForeignKey(columns=("user",), table="crm.users"),
        ForeignKey(columns=("other",), table="crm.users", to=("id",)),
    )
    assert derived_columns(files)["season"] == {"season_end": "make_date(yearID, 12, 31)", "n": "1"}
    assert unmentioned(files, columns) == {"Batting", "season", "crm.users"}


def test_yaml_takes_no_column_for_a_truth_value(load):
    tables = load("""
        source: x
        tables:
          yes: {key: no, time: on, columns: {y: numerical, n: text, off: boolean, Yes: key, 'true': text}}
    """).file.tables
    assert list(tables) == ["yes"]
    assert (tables["yes"].key, tables["yes"].time) == ("no", "on")
    assert list(tables["yes"].columns) == ["y", "n", "off", "Yes", "true"]
    assert (
        load("source: x\ntasks: {A: {tables: {}, type: regression, entity: {a: b.c}, label: y, inclusive: false}}")
        .task("A")
        .inclusive
        is False
    )


# --- tasks --------------------------------------------------------------------------------------------------

TASK = {"tables": {"train": "late_train"}, "type": "binary_classification", "label": "late", "time": "at"}


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ({"flight": "flights.id"}, ("flights", ("flight",), ("id",))),
        ({"a": "t.x", "b": "t.y"}, ("t", ("a", "b"), ("x", "y"))),
        ({"user": "crm.users.id"}, ("crm.users", ("user",), ("id",))),
        ({"columns": ["playerID", "yearID"], "table": "Batting"}, ("Batting",) + (("playerID", "yearID"),) * 2),
        ({"columns": ["p.q"], "table": "Batting", "to": ["playerID"]}, ("Batting", ("p.q",), ("playerID",))),
        ({"columns": "t.columns", "table": "t.table"}, ("t",) + (("columns", "table"),) * 2),
    ],
)
def test_every_form_of_an_entity(entity, expected):
    task = read_task("Late", {**TASK, "entity": entity})
    assert (task.entity_table, task.entity_columns, task.entity_key) == expected


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"flight": "flights"}, "task 'Late': entity is {'flight': 'flights'}\nHint: write {COLUMN: TABLE.KEY}, e.g."),
        ({"a": "t.x", "b": "u.y"}, "task 'Late': entity is .*\nHint: write"),
        ({}, "task 'Late': entity is {}\nHint: write"),
        ({"columns": ["a", "b"], "table": "t", "to": ["x"]}, "task 'Late': entity has 2 columns but to: names 1"),
        (
            {"columns": ["a"], "tabel": "t"},
            "entity.table: field required\n- entity.tabel: unknown field\n  Hint: did you",
        ),
        ("flights", "task 'Late': entity: fields are expected here, as in {name: value} \\(given: 'flights'\\)"),
        ({"a": 3}, "task 'Late': entity.a: input should be a valid string \\(given: 3\\)"),
    ],
)
def test_entities_that_are_not_understood(entity, message):
    with pytest.raises(ConfigError, match=message):
        read_task("Late", {**TASK, "entity": entity})


def test_a_task_has_the_usual_metric_of_its_type_unless_told():
    entity = {"flight": "flights.id"}
    assert read_task("Late", {**TASK, "entity": entity}).metric == "roc_auc"
    assert read_task("Late", {**TASK, "entity": entity, "metric": "f1", "known": ["gate"]}).metric == "f1"


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("2020-06-01", 1590969600),
        ("'2020-06-01'", 1590969600),
        ("2020-06-01 12:00:00", 1590969600 + 43200),
        ("2020-06-01T02:00:00+02:00", 1590969600),
        ("null", None),
    ],
)
def test_the_context_can_be_frozen_at_a_date_in_utc(load, until, seconds):
    task = f"{{tables: {{}}, type: regression, entity: {{a: b.c}}, label: y, context_until: {until}}}"
    assert frozen_until(load(f"source: x\ntasks: {{A: {task}}}").task("A")) == seconds


def test_unknown_tasks_are_answered_with_a_near_match(load):
    with pytest.raises(
        ConfigError, match=r"there is no task 'buys'\nHint: did you mean 'Buys'\? Tasks of the project: Buys\."
    ):
        load(PROJECT).task("buys")
    with pytest.raises(ConfigError, match=r"there is no task 'x'\nHint: Tasks of the project: none\."):
        load("source: x").task("x")


# --- what is not understood ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tabels: {}", "tabels: unknown field | did you mean 'tables'?"),
        ("xyz: {}", "xyz: unknown field | fields here: dataset, source, tables, tasks, train"),
        ("sourceFile: a", "sourceFile: unknown field | did you mean 'source'?"),
        ("tables: {LogFile: {keyy: id}}", "tables.LogFile.keyy: unknown field | did you mean 'key'?"),
        (
            "tables: {'a]': {foo: id}}",
            "tables.a].foo: unknown field | fields here: key, keys, columns, links, time, kind",
        ),
        ("tables: {t: {columns: {str: {typ: key}}}}", "tables.t.columns.str.typ: unknown field | did you mean 'type'?"),
        (
            "tables: {t: {columns: {a: numercal}}}",
            "tables.t.columns.a: 'numercal' is not known here | did you mean 'numerical'?",
        ),
        (
            "tables: {t: {columns: {a: {type: txt}}}}",
            "tables.t.columns.a.type: 'txt' is not known here | did you mean 'text'?",
        ),
        ("tables: {t: {columns: [a]}}", "tables.t.columns: fields are expected here, as in {name: value}"),
        (
            "tables: {t: {columns: {2020: key}}}",
            "tables.t.columns.2020: input should be a valid string (given: 2020) | in quotes it is a text",
        ),
        ("tables: {t: {key: 7}}", "tables.t.key: input should be a valid string (given: 7) | in quotes it is a text"),
        ("tables: {t: {kind: edges}}", "tables.t.kind: 'edges' is not known here | did you mean 'edge'?"),
        (
            "tables: {t: {links: {a: 3}}}",
            "tables.t.links.a: input should be a valid string (given: 3) | in quotes it is a text",
        ),
        (
            "tables: {t: {links: [{columns: [a], tabel: b, table: b}]}}",
            "tables.t.links.0.tabel: unknown field | did you mean 'table'?",
        ),
        ("tables: {t: {links: [a]}}", "tables.t.links.0: fields are expected here, as in {name: value} (given: 'a')"),
        ("tables: {t: }", "tables.t: fields are expected here, as in {name: value}"),
        ("train: 3", "train: fields are expected here, as in {name: value} (given: 3)"),
        ("dataset: [a]", "dataset: input should be a valid string"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(problems, text, expected):
    assert problems(f"source: x\n{text}") == [expected]


def test_a_wrong_stype_is_answered_with_all_of_them(problems):
    (line,) = problems("source: x\ntables: {t: {columns: {a: 3}}}")
    assert line == f"tables.t.columns.a: 3 is not known here | choose one of {', '.join(Stype)}"


def test_all_problems_of_a_task_are_told_at_once(problems):
    assert problems(
        "source: x\ntasks: {A: {tables: {}, typ: x, type: binary, entity: {a: b.c}, label: y, inclusive: maybe}}"
    ) == [
        "tasks.A.inclusive: input should be a valid boolean, unable to interpret input (given: 'maybe')",
        "tasks.A.type: 'binary' is not known here | did you mean 'binary_classification'?",
        "tasks.A.typ: unknown field | did you mean 'type'?",
    ]
    with pytest.raises(
        ConfigError, match=r"(?s)^task 'A': .*\n- type: 'binary' is not known here\n  Hint: did you mean 'binary_cl"
    ):
        parse_task("A", {"type": "binary", "entity": {"a": "b.c"}, "label": "y"})


def test_a_task_is_a_query_or_sql_labels_or_tables_and_each_has_its_own_fields(problems):
    assert problems(
        "source: x\ntasks:\n  A: {query: PREDICT x, evry: 7 days, label: y, every: 7 dyas}\n"
        "  B: {labels: SELECT 1, type: link_prediction, entity: {a: b.c}}"
    ) == [
        "tasks.A.every: unknown unit 'dyas'; did you mean 'days'? Units: days, hours, minutes, months, seconds, weeks.",
        "tasks.A.evry: unknown field | did you mean 'every'?",
        "tasks.A.label: unknown field | fields here: metric, inclusive, context_until, allow, every, start, val_time, "
        "test_time, eval_times, embargo, data_end, query, active_within, as_of",
        "tasks.B.horizon: field required",
        "tasks.B.type: 'link_prediction' needs a query, with RANK",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'.*foreknow.yaml' holds no fields\nHint: it needs at least: source: PATH"),
        ("- a", "'.*foreknow.yaml' holds no fields"),
        ("dataset: x", "foreknow.yaml: source: field required"),
        ("a: [", "(?s)'.*foreknow.yaml' is no YAML: .*line 1, column 5"),
        ("source: x\nsource: y", "(?s)is no YAML: 'source' is given twice.*line 2, column 1"),
        ("source: x\ntables: {t: {links: {a: b, a: c}}}", "(?s)is no YAML: 'a' is given twice.*line 2, column 28"),
        (b"source: \xff", "can't read '.*foreknow.yaml': .*can't decode byte.*\nHint: a project file is text in UTF-8"),
        ("source: !!python/object:os.system x", "(?s)is no YAML: could not determine a constructor"),
    ],
)
def test_files_that_are_no_project(load, text, message):
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_a_file_that_is_not_there_is_answered_with_the_command_that_writes_one(tmp_path):
    with pytest.raises(
        ConfigError, match=r"there is no project file '.*'\nHint: write one with: foreknow inspect SOURCE"
    ):
        load_project(tmp_path)


# --- training parameters ------------------------------------------------------------------------------------


def test_parameters_stand_on_top_of_the_defaults():
    assert make_config({}) == TrainConfig()
    config = make_config({"epochs": 3, "lr": "1e-3", "num_neighbors": [4, 2], "clip_norm": None})
    assert (config.epochs, config.lr, config.num_neighbors, config.clip_norm) == (3, 0.001, (4, 2), None)


def test_wrong_parameters_are_told_when_the_file_is_read(load):
    with pytest.raises(ConfigError) as caught:
        load("source: x\ntrain: {epoch: 3, lr: fast, colour: red}")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("foreknow.yaml, train: 3 problems.")
    assert lines[1:3] == ["- unknown parameter 'epoch'", "  Hint: did you mean 'epochs'?"]
    assert lines[3] == "- lr is 'fast': input should be a valid number, unable to parse string as a number"
    assert lines[4] == "- unknown parameter 'colour'"
    assert lines[5].startswith("  Hint: known: batch_size, channels, ")
    with pytest.raises(ConfigError, match="batch_size is 0; it must be at least 1"):
        load("source: x\ntrain: {batch_size: 0}")


# --- writing ------------------------------------------------------------------------------------------------

ODD = [
    "no",
    "on",
    "y",
    "null",
    "~",
    "true",
    "1",
    "1.5",
    "1e3",
    "2020-01-01",
    "12:30",
    "",
    " a ",
    "a b",
    "a: b",
    "#a",
    "- a",
]
ODD += [
    "a, b",
    "[a",
    "{a}",
    "a'b",
    'a"b',
    "\\",
    "a\nb",
    "\t",
    "\x85",
    "\u2028",
    "\x07",
    "\ufeff",
    "é",
    "🙂",
    "<<",
    "=",
    "*a",
]
ODD += [
    "a.b",
    "x" * 200,
    'x"; DROP TABLE y',
    "...",
    "---",
    "%a",
    "@a",
    "`a",
    "!a",
    "|",
    ">",
    "?",
    "? a",
    "key",
    "[key]",
]
NAMES = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def schemas(draw):
    """Schemas as `build_schema` makes them: columns of keys and links are keys unless said otherwise."""
    made = {}
    tables = draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
    for name in tables:
        columns = draw(st.lists(NAMES, unique=True, min_size=1, max_size=5))
        some = st.lists(st.sampled_from(columns), min_size=1, max_size=3, unique=True).map(tuple)
        links = draw(
            st.lists(
                st.builds(ForeignKey, columns=some, table=st.sampled_from(tables), to=st.just(()) | some), max_size=2
            )
        )
        key, keys = draw(st.just(()) | some), tuple(draw(st.lists(some, max_size=2)))
        keyed = {c for k in (key, *keys, *(x.columns for x in links)) for c in k}
        time = draw(st.none() | st.sampled_from([*columns]))
        if time in keyed:
            time = None
        stypes = {c: Stype.KEY if c in keyed else draw(st.sampled_from(Stype)) for c in columns}
        if time is not None:
            stypes[time] = Stype.TIMESTAMP
        sql = {c: draw(st.none() | NAMES) if c not in keyed else None for c in columns}
        made[name] = Table(
            name=name,
            columns=tuple(Column(name=c, stype=stypes[c], dtype="VARCHAR", sql=sql[c]) for c in columns),
            primary_key=key,
            candidate_keys=keys,
            foreign_keys=tuple(links),
            time_column=time,
            kind=draw(st.sampled_from(["node", "edge"])),
        )
    return Schema(made)


def every_odd_name():
    columns = tuple(Column(name=n, stype=Stype.TEXT, dtype="VARCHAR", sql=n) for n in ODD)
    return Schema({n: Table(name=n, columns=columns) for n in ODD[:5]})


@settings(max_examples=60)
@given(schemas(), NAMES, st.lists(NAMES, max_size=2).map(tuple))
@example(every_odd_name(), "a\nsource: y", ("left out: a\nsource: evil",))
def test_what_is_written_loads_back_to_the_same_schema(tmp_path_factory, schema, name, notes):
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    text = project_text(schema, dataset=name, source=name, notes=notes)
    (folder / "foreknow.yaml").write_text(text, encoding="utf-8")
    project = load_project(folder)
    columns = {t.name: {c.name: c.dtype for c in t.columns} for t in schema}
    assert build_schema(project.file.tables, columns, {}) == schema
    assert (project.file.dataset, project.file.source) == (name, name)


def test_a_written_file_is_laid_out_to_be_read():
    text = project_text(toy_schema(), dataset="Toy", source="toy.duckdb", notes=("left out: logs (no link)",))
    assert text.splitlines() == [
        "# Foreknow project file. Edit anything; unknown fields are errors. See docs/project-file.md",
        "# left out: logs (no link)",
        "dataset: Toy",
        "source: toy.duckdb",
        "",
        "tables:",
        "  customers:",
        "    key: customer_id",
        "    time: created_at",
        "    links:",
        "      referred_by: customers",
        "    columns:",
        "      created_at: timestamp",
        "      age: numerical",
        "      tier: categorical",
        "  articles:",
        "    key: article_id",
        "    columns:",
        "      category: categorical",
        "      list price: numerical",
        "  transactions:",
        "    key: transaction_id",
        "    time: ts",
        "    links:",
        "      customer_id: customers",
        "      article_id: articles",
        "    columns:",
        "      ts: timestamp",
        "      price: numerical",
        "      channel: categorical",
    ]


def test_tasks_and_parameters_are_written_too(load):
    project = load(PROJECT + "\n")
    tasks = {k: t.model_dump(mode="json", exclude_none=True) for k, t in project.file.tasks.items()}
    again = load(project_text(toy_schema(), dataset="Toy", source="x", tasks=tasks, train=project.file.train))
    assert again.task("Buys") == project.task("Buys")
    assert again.file.train == project.file.train


def test_a_written_task_keeps_its_date_and_composite_entity(load):
    value = {
        **TASK,
        "entity": {"columns": ["a", "b"], "table": "t", "to": ["x", "y"]},
        "context_until": dt.date(2020, 6, 1),
    }
    first = load(yaml.safe_dump({"source": "x", "tasks": {"A": value}}))
    tasks = {"A": first.file.tasks["A"].model_dump(mode="json", exclude_none=True)}
    assert load(project_text(toy_schema(), dataset="D", source="x", tasks=tasks)).task("A") == first.task("A")
