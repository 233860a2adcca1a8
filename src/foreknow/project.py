"""The project file ``foreknow.yaml``: read, checked and written here, and nowhere else.

Everything in it can be edited by hand. Unknown fields are errors with a near match; all problems are told at once.
The full form is described in ``docs/project-file.md``.
"""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from foreknow.errors import ConfigError, Finding, near_match, raise_findings
from foreknow.schema.question import Comments
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.task.audit.names import check_allowed
from foreknow.task.metric import default_metric
from foreknow.task.query.duration import read_duration
from foreknow.task.split import SplitSettings
from foreknow.task.task import EntityTask
from foreknow.train.config import TrainConfig, check_config
from foreknow.types import Stype, TaskType

__all__ = ["Project", "build_schema", "load_project", "make_config", "project_text", "task_from_file"]

FILE_NAME = "foreknow.yaml"


# Tags of several ways to write one thing; YAML can't hold a NUL, so no name is like them.
SHORT, LONG = "\0short", "\0long"
TABLES, QUERY, LABELS = "\0tables", "\0query", "\0labels"


def _long_if(*kinds: type) -> Discriminator:
    return Discriminator(lambda value: LONG if isinstance(value, kinds) else SHORT)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnFile(_Strict):
    """A column with options: ``{type: numerical}``, ``{sql: "make_date(year, 1, 1)"}``, or both."""

    type: Stype | None = None
    sql: str | None = None


class LinkFile(_Strict):
    """A foreign key of several columns: ``{columns: [a, b], table: t}``, ``to:`` if not to its primary key."""

    columns: list[str] = Field(min_length=1)
    table: str
    to: list[str] = []


Key = Annotated[Annotated[str, Tag(SHORT)] | Annotated[list[str], Tag(LONG)], _long_if(list)]
ColumnForm = Annotated[Annotated[Stype, Tag(SHORT)] | Annotated[ColumnFile, Tag(LONG)], _long_if(dict, ColumnFile)]
LinksForm = Annotated[Annotated[dict[str, str], Tag(SHORT)] | Annotated[list[LinkFile], Tag(LONG)], _long_if(list)]


class TableFile(_Strict):
    """One table of the project file."""

    key: Key | None = None
    keys: list[Key] = []
    columns: dict[str, ColumnForm] = {}
    links: LinksForm = {}
    time: str | None = None
    kind: Literal["node", "edge"] = "node"


class EntityFile(_Strict):
    """An entity with a composite key: ``{columns: [a, b], table: t}``, ``to:`` if key columns are named otherwise."""

    columns: list[str] = Field(min_length=1)
    table: str
    to: list[str] = []


def _entity_form(value: Any) -> str:
    columns = value.get("columns") if isinstance(value, dict) else None
    return LONG if isinstance(value, EntityFile) or isinstance(columns, list) else SHORT


EntityForm = Annotated[
    Annotated[EntityFile, Tag(LONG)] | Annotated[dict[str, str], Tag(SHORT)], Discriminator(_entity_form)
]


def _entity_type(type_: TaskType) -> TaskType:
    if type_.is_link:
        raise ValueError(f"'{type_}' needs a query, with RANK")
    return type_


def _length(text: str) -> str:
    read_duration(text)
    return text


EntityType = Annotated[TaskType, AfterValidator(_entity_type)]
Length = Annotated[str, AfterValidator(_length)]


class _AnyTask(_Strict):
    metric: str | None = None
    inclusive: bool = True
    context_until: dt.datetime | None = None
    allow: list[str] = []


class TaskFile(_AnyTask):
    """A task over finished task tables, or a SELECT for each."""

    tables: dict[str, str]
    type: EntityType
    entity: EntityForm
    label: str
    time: str | None = None
    horizon: Length | None = None
    known: list[str] = []


class _SplitTask(_AnyTask):
    every: Length | None = None
    start: dt.datetime | None = None
    val_time: dt.datetime | None = None
    test_time: dt.datetime | None = None
    eval_times: int = Field(default=1, ge=1)
    embargo: Length | None = None
    data_end: dt.datetime | None = None

    def split_settings(self) -> SplitSettings:
        """The settings of the grid."""
        names = {f.name for f in fields(SplitSettings)}
        return SplitSettings.read({k: getattr(self, k) for k in type(self).model_fields if k in names})


class QueryTaskFile(_SplitTask):
    """A task from a predictive query."""

    query: str
    active_within: Length | None = None
    as_of: dt.datetime | None = None


class LabelsTaskFile(_SplitTask):
    """A task from one SELECT of entity, seed time and label over the table ``seed_times``."""

    labels: str
    horizon: Length
    type: EntityType
    entity: EntityForm
    label: str = "label"
    time: str = "seed_time"
    known: list[str] = []


AnyTaskFile = TaskFile | QueryTaskFile | LabelsTaskFile
_TASK_MODELS: dict[str, type[AnyTaskFile]] = {TABLES: TaskFile, QUERY: QueryTaskFile, LABELS: LabelsTaskFile}


def _task_form(value: Any) -> str:
    if isinstance(value, BaseModel):
        return next(tag for tag, model in _TASK_MODELS.items() if type(value) is model)
    given = value if isinstance(value, dict) else {}
    return QUERY if "query" in given else LABELS if "labels" in given else TABLES


TaskForm = Annotated[
    Annotated[TaskFile, Tag(TABLES)] | Annotated[QueryTaskFile, Tag(QUERY)] | Annotated[LabelsTaskFile, Tag(LABELS)],
    Discriminator(_task_form),
]


class ProjectFile(_Strict):
    """The whole file."""

    dataset: str | None = None
    source: str
    tables: dict[str, TableFile] | None = None
    tasks: dict[str, TaskForm] = {}
    train: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Project:
    """A read project file. ``path`` is None for a database opened without one."""

    file: ProjectFile
    path: Path | None = None
    base: Path = field(default_factory=Path.cwd)

    @property
    def dataset(self) -> str:
        """Name of the data set; the source's name if the file gives none."""
        return self.file.dataset or Path(self.file.source).name.split(".")[0] or "Dataset"

    def task(self, name: str) -> AnyTaskFile:
        """What the file says of a task.

        Raises:
            ConfigError: There is no such task.
        """
        if name not in self.file.tasks:
            match = near_match(name, self.file.tasks)
            known = ", ".join(self.file.tasks) or "none"
            raise ConfigError(
                f"there is no task '{name}'",
                hint=(f"did you mean '{match}'? " if match else "") + f"Tasks of the project: {known}.",
            )
        return self.file.tasks[name]


class _Loader(yaml.SafeLoader):
    """YAML with the booleans of version 1.2: a column may be called ``no``, ``on`` or ``y``. No name occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_project(path: Path) -> Project:
    """Read a project file, or the one in a folder.

    Raises:
        ConfigError: It is missing, is no YAML, or holds what isn't understood.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        raise ConfigError(
            f"there is no project file '{path}'", hint="write one with: foreknow inspect SOURCE --write"
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"can't read '{path}': {e}", hint="a project file is text in UTF-8") from e
    try:
        value = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as e:
        raise ConfigError(f"'{path}' is no YAML: {e}") from e
    if not isinstance(value, dict):
        raise ConfigError(f"'{path}' holds no fields", hint="it needs at least: source: PATH")
    file = _validate(ProjectFile, value, str(path))
    make_config(file.train, where=f"{path}, train")
    return Project(file=file, path=path, base=path.parent.resolve())


def make_config(values: Mapping[str, Any], *, where: str = "training parameters") -> TrainConfig:
    """Training parameters from plain values (YAML, CLI, JSON), on top of the defaults.

    Raises:
        ConfigError: Unknown names with near matches, wrong types and ranges.
    """
    known = {f.name: f for f in fields(TrainConfig)}
    findings: list[Finding] = []
    clean: dict[str, Any] = {}
    hints = _type_hints(TrainConfig)
    for name, value in values.items():
        if name not in known:
            match = near_match(name, known)
            findings.append(
                Finding(
                    name="unknown-parameter",
                    message=f"unknown parameter '{name}'",
                    hint=f"did you mean '{match}'?" if match else f"known: {', '.join(sorted(known))}",
                )
            )
            continue
        if name == "scoreboard" and value is False:  # YAML reads the word off as false
            value = "off"
        try:
            clean[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as e:
            findings.append(Finding(name="parameter", message=f"{name} is {value!r}: {e.errors()[0]['msg'].lower()}"))
    raise_findings(findings, ConfigError, where)
    config = TrainConfig(**clean)
    check_config(config, where=where)
    return config


def _type_hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def task_from_file(name: str, file: TaskFile | LabelsTaskFile, made: Mapping[str, str] | None = None) -> EntityTask:
    """A task from its part of the project file; `made` are the tables made from its labels."""
    if isinstance(file.entity, EntityFile):
        table, columns = file.entity.table, tuple(file.entity.columns)
        key = tuple(file.entity.to) or columns
    else:
        targets = {c: t.rpartition(".") for c, t in file.entity.items()}
        wrong = [c for c, (table, dot, _) in targets.items() if not dot]
        tables = {table for table, _, _ in targets.values()}
        if wrong or len(tables) != 1:
            raise ConfigError(
                f"task '{name}': entity is {dict(file.entity)}",
                hint="write {COLUMN: TABLE.KEY}, e.g. {customer_id: customers.customer_id}",
            )
        table, columns = tables.pop(), tuple(targets)
        key = tuple(k for _, _, k in targets.values())
    if len(key) != len(columns):
        raise ConfigError(f"task '{name}': entity has {len(columns)} columns but to: names {len(key)}")
    if made is None:
        made = file.tables if isinstance(file, TaskFile) else {}
    return EntityTask(
        name=name,
        type=file.type,
        entity_table=table,
        entity_columns=columns,
        entity_key=key,
        label=file.label,
        time=file.time,
        metric=file.metric or default_metric(file.type),
        tables=made,
        inclusive=file.inclusive,
        context_until=frozen_until(file),
        known=tuple(file.known),
        horizon_s=None if file.horizon is None else read_duration(file.horizon).longest_s,
        allow=check_allowed(file.allow),
    )


def frozen_until(file: AnyTaskFile) -> int | None:
    """``context_until`` as Unix seconds."""
    until = file.context_until
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return None if until is None else int(until.timestamp())


def parse_task(name: str, value: Mapping[str, Any]) -> AnyTaskFile:
    """A task from plain values, as they stand under ``tasks:``.

    Raises:
        ConfigError: Unknown fields and wrong types, with near matches.
    """
    file: AnyTaskFile = _validate(_TASK_MODELS[_task_form(value)], dict(value), f"task '{name}'")
    return file


def build_schema(
    tables: Mapping[str, TableFile],
    columns: Mapping[str, Mapping[str, str]],
    inferred: Mapping[tuple[str, str], Stype],
) -> Schema:
    """The schema a project file describes.

    Args:
        tables: Of the project file.
        columns: DuckDB types by table and column, derived columns included.
        inferred: Meaning of columns the file doesn't mention, by (table, column).
    """
    built = {}
    for name, t in tables.items():
        key = _names(t.key)
        candidates = tuple(_names(k) for k in t.keys)
        links = _links(t, tables)
        in_keys = {c for k in (key, *candidates) for c in k} | {c for fk in links for c in fk.columns}
        made = []
        for column, dtype in columns[name].items():
            given = t.columns.get(column)
            sql = given.sql if isinstance(given, ColumnFile) else None
            said = given.type if isinstance(given, ColumnFile) else given
            if said is None and column == t.time:
                said = Stype.TIMESTAMP
            if said is None:
                said = Stype.KEY if column in in_keys else inferred.get((name, column), Stype.IGNORE)
            made.append(Column(name=column, stype=said, dtype=dtype, sql=sql))
        built[name] = Table(
            name=name,
            columns=tuple(made),
            primary_key=key,
            candidate_keys=candidates,
            foreign_keys=links,
            time_column=t.time,
            kind=t.kind,
        )
    return Schema(built)


def unmentioned(tables: Mapping[str, TableFile], columns: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Tables with columns whose meaning the project file leaves open."""
    found = set()
    for name, t in tables.items():
        said = {c for c, v in t.columns.items() if not isinstance(v, ColumnFile) or v.type is not None}
        keys = {c for k in (_names(t.key), *map(_names, t.keys)) for c in k}
        links = {c for fk in _links(t, tables) for c in fk.columns}
        if set(columns[name]) - said - keys - links - {t.time}:
            found.add(name)
    return found


def derived_columns(tables: Mapping[str, TableFile]) -> dict[str, dict[str, str]]:
    """SQL of derived columns, by table and column."""
    return {
        name: {c: v.sql for c, v in t.columns.items() if isinstance(v, ColumnFile) and v.sql is not None}
        for name, t in tables.items()
    }


def project_text(
    schema: Schema,
    *,
    dataset: str,
    source: str,
    tasks: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    questions: Mapping[str, Comments] | None = None,
) -> str:
    """A project file for a schema, laid out to be read and edited.

    ``notes`` are comments above everything, ``questions`` comments in the tables they are about.
    """
    lines = ["# Foreknow project file. Edit anything; unknown fields are errors. See docs/project-file.md"]
    lines += [_comment(note) for note in notes]
    lines += [f"dataset: {_scalar(dataset)}", f"source: {_scalar(source)}", "", "tables:"]
    for t in schema:
        open_ = (questions or {}).get(t.name, Comments())
        lines.append(f"  {_scalar(t.name)}:")
        if t.kind == "edge":
            lines.append("    kind: edge")
        if t.primary_key:
            lines.append(f"    key: {_scalar(_key(t.primary_key))}")
        if t.candidate_keys:
            lines.append(f"    keys: {_scalar([_key(k) for k in t.candidate_keys])}")
        if t.time_column is not None:
            lines.append(f"    time: {_scalar(t.time_column)}")
        lines += _commented(open_.table, "", 4)
        if t.foreign_keys:
            lines.append("    links:")
            simple = not open_.links and all(len(k.columns) == 1 and not k.to for k in t.foreign_keys)
            for k in t.foreign_keys:
                if simple and len({x.columns for x in t.foreign_keys}) == len(t.foreign_keys):
                    lines.append(f"      {_scalar(k.columns[0])}: {_scalar(k.table)}")
                else:
                    link = {"columns": list(k.columns), "table": k.table, **({"to": list(k.to)} if k.to else {})}
                    lines.append(f"      - {_scalar(link)}")
        lines += _commented(open_.links, "" if t.foreign_keys else "links", 6)
        keyed = {c for k in t.keys for c in k} | {c for k in t.foreign_keys for c in k.columns}
        shown = [c for c in t.columns if not (c.name in keyed and c.stype is Stype.KEY and c.sql is None)]
        if shown:
            lines.append("    columns:")
        for c in shown:
            value = str(c.stype) if c.sql is None else _scalar({"type": str(c.stype), "sql": c.sql})
            lines.append(f"      {_scalar(c.name)}: {value}")
        lines += _commented(open_.columns, "" if shown else "columns", 6)
    text = "\n".join(lines) + "\n"
    for name, part in (("tasks", tasks), ("train", train)):
        if part:
            text += "\n" + yaml.safe_dump({name: dict(part)}, sort_keys=False, width=110, allow_unicode=True)
    return text


def _commented(texts: Sequence[str], section: str, indent: int) -> list[str]:
    """Lines that are part of a section once ``# `` is removed, with its head if it is not there yet."""
    if not section or not texts:
        return [" " * indent + _comment(text) for text in texts]
    return [f"    # {section}:", *("    " + _comment("  " + text) for text in texts)]


def _comment(text: str) -> str:
    return "# " + "".join(c if c.isprintable() else " " for c in text)


def _links(t: TableFile, tables: Mapping[str, TableFile]) -> tuple[ForeignKey, ...]:
    """Foreign keys; ``column: table`` or ``column: table.key``. A table of that very name goes first."""
    if isinstance(t.links, list):
        return tuple(ForeignKey(columns=tuple(k.columns), table=k.table, to=tuple(k.to)) for k in t.links)
    links = []
    for column, target in t.links.items():
        table, dot, key = target.rpartition(".")
        if not dot or target in tables:
            table, key = target, ""
        links.append(ForeignKey(columns=(column,), table=table, to=(key,) if key else ()))
    return tuple(links)


def _names(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


class _Dumper(yaml.SafeDumper):
    """Writes every text on one line, so that it can be a name."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)


def _scalar(value: Any) -> str:
    """A text, or a list or mapping of texts, on one line of YAML."""
    dumped: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=1 << 30, allow_unicode=True, sort_keys=False
    )
    return dumped.removesuffix("\n").removesuffix("\n...")


def _key(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _validate(model: type[Any], value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise_findings([_finding(model, error) for error in e.errors()], ConfigError, where)
        raise


def _finding(model: type[BaseModel], error: Any) -> Finding:
    path = [str(p) for p in error["loc"] if p not in (SHORT, LONG, TABLES, QUERY, LABELS, "[key]")]
    at, given, kind = ".".join(path), error.get("input"), error["type"]
    if kind == "extra_forbidden":
        place = _model_at(model, error["loc"][:-1])
        match = near_match(path[-1], place.model_fields)
        return Finding(
            name="unknown-field",
            message=f"{at}: unknown field",
            hint=f"did you mean '{match}'?" if match else f"fields here: {', '.join(place.model_fields)}",
        )
    if kind in ("enum", "literal_error"):
        allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        match = near_match(given, allowed) if isinstance(given, str) else None
        return Finding(
            name="bad-value",
            message=f"{at}: {given!r} is not known here",
            hint=f"did you mean '{match}'?" if match else f"choose one of {', '.join(allowed)}",
        )
    message = f"{at}: {error['msg'].lower()}"
    hint = None
    if kind == "value_error":
        message = f"{at}: {error['ctx']['error']}"
    elif kind in ("model_type", "dict_type"):
        message = f"{at}: fields are expected here, as in {{name: value}}"
    elif kind == "string_type" and isinstance(given, int | float | dt.date | None):
        hint = "in quotes it is a text"
    is_plain = isinstance(given, str | int | float | bool) and kind != "value_error"  # our own messages say it
    shown = f" (given: {given!r})" if is_plain else ""
    return Finding(name="bad-value", message=message + shown, hint=hint)


def _model_at(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    """The model a location stands in."""
    if model is ProjectFile and len(loc) > 1:
        if loc[0] == "tables":
            return _model_at(TableFile, loc[2:])
        tag = loc[2] if len(loc) > 2 else TABLES
        return _model_at(_TASK_MODELS.get(tag, TaskFile), loc[3:])
    inner: dict[str, type[BaseModel]] = {"columns": ColumnFile, "links": LinkFile, "entity": EntityFile}
    return inner[loc[0]] if loc else model
