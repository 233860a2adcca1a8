"""A database as Foreknow sees it: a source, what its tables mean, and the snapshot everything reads.

Opening reads nothing; the schema and the snapshot are made when first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from foreknow.errors import ConfigError, Finding, SchemaError, TaskError, did_you_mean
from foreknow.project import (
    LabelsTaskFile,
    Project,
    ProjectFile,
    QueryTaskFile,
    build_schema,
    derived_columns,
    frozen_until,
    load_project,
    parse_task,
    project_text,
    task_from_file,
    unmentioned,
)
from foreknow.schema.check import check_schema
from foreknow.schema.diagram import TEXT_WIDTH, to_dot, to_svg, to_text
from foreknow.schema.infer import Inference, propose
from foreknow.schema.profile import Containment, Declared
from foreknow.schema.question import Comments, Question
from foreknow.schema.table import Schema
from foreknow.source.base import Source
from foreknow.source.measure import TableMeasures, measure_containment
from foreknow.source.profile import profile_table
from foreknow.source.snapshot import Snapshot, open_source, stage
from foreknow.task.audit.names import check_allowed
from foreknow.task.query.preview import Preview, preview
from foreknow.task.query.resolve import ResolvedQuery, bind_text, resolve, time_range
from foreknow.task.query.sqllabels import labels_sql
from foreknow.task.task import SPLITS, EntityTask, check_task, hide_target, is_query
from foreknow.types import Stype

__all__ = ["BoundTask", "Database", "Inspection", "open_database"]

HOME = ".foreknow"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of a database: a schema, counts, and what a person should look at.

    ``inference`` holds the evidence, if the schema was inferred; None if a project file or a person said it.
    """

    schema: Schema
    row_counts: Mapping[str, int]
    containments: tuple[Containment, ...]
    notes: tuple[Finding, ...]
    left_out: Mapping[str, str]
    reasons: Mapping[tuple[str, str], str]
    inference: Inference | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """What inference can't settle, with the answers to choose from; the schema takes the best."""
        return self.inference.questions if self.inference is not None else ()

    @property
    def dangling(self) -> dict[tuple[str, str], float]:
        """Share of link values without a row to point to, by (table, foreign key name)."""
        return {(c.table, "+".join(c.columns)): 1 - c.share for c in self.containments if c.num_values}


@dataclass(kw_only=True)
class Database:
    """An opened database. ``progress`` is told what takes time."""

    project: Project
    source: Source
    workspace: Path
    progress: Callable[[str], None] | None = None
    _edited: Schema | None = field(default=None, repr=False)

    @property
    def dataset(self) -> str:
        """Name of the data set; the first part of MLflow experiments."""
        return self.project.dataset

    @property
    def schema(self) -> Schema:
        """What the tables mean: from the project file, or inferred. Assign to it to change it."""
        return self._edited if self._edited is not None else self._resolved[0]

    @schema.setter
    def schema(self, schema: Schema) -> None:
        check_schema(schema)
        self._edited = schema

    @cached_property
    def _staged(self) -> Snapshot:
        """The tables of the project, or all of the source."""
        tables = self.project.file.tables
        return stage(
            self.source,
            self.workspace,
            tables=None if tables is None else list(tables),
            derived=None if tables is None else derived_columns(tables),
            progress=self.progress,
        )

    @cached_property
    def _resolved(self) -> tuple[Schema, Inference | None]:
        tables = self.project.file.tables
        staged = self._staged
        columns = {name: t.columns for name, t in staged.tables.items()}
        if tables is None:
            proposal = self._propose(staged, set(staged.tables))
            return proposal.schema, proposal
        problems = [
            f"table '{name}' has no column '{c}'; {did_you_mean(c, columns[name], 'columns')}"
            for name, t in tables.items()
            for c in t.columns
            if c not in columns[name]
        ]
        if problems:
            raise SchemaError(
                f"{len(problems)} column(s) of the project file are not in the source:\n- " + "\n- ".join(problems)
            )
        open_tables = unmentioned(tables, columns)
        inferred: dict[tuple[str, str], Stype] = {}
        if open_tables:
            proposal = self._propose(staged, open_tables)
            inferred = {(t.name, c.name): c.stype for t in proposal.schema for c in t.columns}
        return build_schema(tables, columns, inferred), None

    def _propose(self, staged: Snapshot, names: set[str]) -> Inference:
        declared = self.source.tables()
        relations = {n: staged[n].relation for n in staged.tables}
        dtypes = {n: staged[n].columns for n in staged.tables}
        with staged.connect() as connection:
            profiles = {
                n: profile_table(connection, relations[n], n, declared[n].declared if n in declared else Declared())
                for n in staged.tables
                if n in names
            }
            return propose(profiles, TableMeasures(connection=connection, relations=relations, dtypes=dtypes))

    @property
    def snapshot(self) -> Snapshot:
        """The staged tables of the schema."""
        return self.snapshot_with(())

    def snapshot_with(self, tables: tuple[str, ...]) -> Snapshot:
        """The staged tables of the schema, and further tables of the source as they are."""
        schema = self.schema
        derived = {t.name: {c.name: c.sql for c in t.columns if c.sql is not None} for t in schema}
        names = [*schema.tables, *(t for t in tables if t not in schema)]
        return stage(self.source, self.workspace, tables=names, derived=derived, progress=self.progress)

    def check(self) -> list[Finding]:
        """Check the schema; returns warnings.

        Raises:
            SchemaError: With all errors at once.
        """
        return check_schema(self.schema)

    def inspect(self) -> Inspection:
        """What the tables hold and mean, with counts and remarks.

        Raises:
            SchemaError: The schema doesn't fit together.
        """
        warnings = self.check()
        schema, staged = self.schema, self.snapshot
        proposal = self._resolved[1]
        if proposal is not None and self._edited is None:
            containments = proposal.containments
        else:
            relations = {n: t.relation for n, t in staged.tables.items()}
            with staged.connect() as connection:
                containments = tuple(
                    measure_containment(connection, relations, t.name, k.columns, k.table, schema.key_of(k))
                    for t in schema
                    for k in t.foreign_keys
                )
        return Inspection(
            schema=schema,
            row_counts={n: t.num_rows for n, t in staged.tables.items()},
            containments=containments,
            notes=(*_told(proposal), *warnings),
            left_out=proposal.left_out if proposal is not None else {},
            reasons=proposal.reasons if proposal is not None else {},
            inference=proposal if self._edited is None else None,
        )

    def diagram(self, path: str | Path | None = None) -> str:
        """The schema as a picture: SVG text, written to `path` if given (``.svg``)."""
        found = self.inspect()
        svg = to_svg(to_dot(found.schema, row_counts=found.row_counts, dangling=found.dangling)).decode()
        if path is not None:
            Path(path).write_text(svg)
        return svg

    def describe(self, *, width: int = TEXT_WIDTH) -> str:
        """The schema as text for a terminal of so many columns."""
        found = self.inspect()
        return to_text(found.schema, row_counts=found.row_counts, dangling=found.dangling, width=width)

    def to_yaml(self, *, folder: Path | None = None, guess: bool = True) -> str:
        """A project file for the database as it is understood now.

        Args:
            folder: Where the file will be, if not where paths are relative to now.
            guess: Write the best proposal where several are about as good. Else the item is left out, and the
                answers to choose from stand there as comments.
        """
        found = self.inspect()
        asked: dict[str, Comments] = {}
        schema = found.schema
        if not guess and found.inference is not None:
            schema = found.inference.settled
            for q in found.questions:
                for table in q.tables:
                    asked[table] = asked.get(table, Comments()) + q.comments()
        source = _source_from(self.project, folder) if folder is not None else self.project.file.source
        tasks = {k: t.model_dump(mode="json", exclude_none=True) for k, t in self.project.file.tasks.items()}
        left = tuple(f"left out: {t} ({why})" for t, why in found.left_out.items())
        return project_text(
            schema,
            dataset=self.dataset,
            source=source,
            tasks=tasks,
            train=self.project.file.train,
            notes=left,
            questions=asked,
        )

    def task(self, name: str, definition: str | Mapping[str, Any] | None = None) -> BoundTask:
        """A task of the project by name, or a new one.

        Args:
            name: Task name.
            definition: A predictive query, or what stands under ``tasks: NAME:`` in a project file; looked up there
                if not given.

        Raises:
            ConfigError: The task is unknown or not understood.
            QueryError: Its query is not understood, or doesn't fit the schema.
            TaskError: It doesn't fit the schema, or its splits don't fit the data.
        """
        if isinstance(definition, str):
            definition = {"query": definition}
        file = self.project.task(name) if definition is None else parse_task(name, definition)
        if isinstance(file, QueryTaskFile):
            return self._ask(name, file)
        tables = _label_tables(self, name, file) if isinstance(file, LabelsTaskFile) else None
        task = task_from_file(name, file, tables)
        check_task(task, self.schema)
        return BoundTask(database=self, task=task)

    def ask(self, query: str, *, name: str = "Query", **settings: Any) -> BoundTask:
        """A task from a predictive query.

        Args:
            query: ``PREDICT ... FOR EACH table.key ...``; see ``docs/predictive-query.md``.
            name: Name of the task.
            **settings: ``val_time``, ``test_time``, ``every`` and whatever else may stand beside ``query:`` in a
                project file.

        Raises:
            QueryError: The query is not understood, or doesn't fit the schema.
            ConfigError: A setting is unknown.
            TaskError: The splits don't fit the data.
        """
        return self.task(name, {"query": query, **settings})

    def _ask(self, name: str, file: QueryTaskFile) -> BoundTask:
        schema = self.schema
        bound = bind_text(file.query, schema)
        resolved = resolve(bound, schema, self.snapshot, file.split_settings())
        entity, layout = bound.entity, resolved.layout
        task = EntityTask(
            name=name,
            type=bound.type,
            entity_table=entity.name,
            entity_columns=layout.keys,
            entity_key=layout.keys,
            label=layout.label,
            time=layout.time,
            metric=file.metric or bound.metric,
            tables={split: resolved.sql(split) for split in SPLITS},
            inclusive=file.inclusive,
            context_until=frozen_until(file),
            horizon_s=max((h.longest_s for h in bound.horizons), default=None) if layout.time else None,
            allow=check_allowed(file.allow),
            query=file.query,
            settings=resolved.settings.to_dict(),
            hidden={c: str(entity[c].stype) for c in bound.target_columns},
            num_outputs=bound.num_outputs,
            top=bound.top,
        )
        check_task(task, schema)
        return BoundTask(database=self, task=task, resolved=resolved)


def _source_from(project: Project, folder: Path) -> str:
    """The source as a project file in another folder names it: relative to it, but not by way of the root."""
    source, folder = Path(project.file.source).expanduser(), folder.resolve()
    if "://" in project.file.source or (not source.is_absolute() and folder == project.base.resolve()):
        return project.file.source
    where = Path(os.path.abspath(project.base / source))
    if source.is_absolute() and os.path.commonpath([where, folder]) == where.anchor:
        return str(where)
    return os.path.relpath(where, folder)


def _told(inference: Inference | None) -> tuple[Finding, ...]:
    """Findings of an inference, its open questions among them."""
    if inference is None:
        return ()
    return (*inference.notes, *(q.to_finding() for q in inference.questions))


@dataclass(frozen=True, kw_only=True)
class BoundTask:
    """A task together with the database it is about."""

    database: Database
    task: EntityTask
    resolved: ResolvedQuery | None = field(default=None, repr=False, compare=False)

    @property
    def schema(self) -> Schema:
        """The database's schema as the model may see it: without the columns a static target is made of."""
        return hide_target(self.task, self.database.schema)

    def preview(self) -> Preview:
        """What a query's task tables hold, before anything is trained.

        Raises:
            TaskError: The task has no query, or its rows make no task.
        """
        if self.resolved is None:
            raise TaskError(f"task '{self.task.name}' has no query", hint="foreknow task shows its tables")
        return preview(self.resolved, self.snapshot())

    @property
    def experiment(self) -> str:
        """MLflow experiment: ``Dataset/task_type/Task``."""
        return f"{self.database.dataset}/{self.task.type}/{self.task.name}"

    def snapshot(self) -> Snapshot:
        """The schema's tables and the task's own."""
        named = tuple(q for q in self.task.tables.values() if not is_query(q))
        return self.database.snapshot_with(named)


def _label_tables(database: Database, name: str, file: LabelsTaskFile) -> dict[str, str]:
    """The task tables of SQL labels, by split."""
    ranges = {}
    for table in database.schema:
        if table.time_column is not None:
            span = time_range(database.snapshot, database.schema, table.name)
            if span is not None:
                ranges[table.name] = span
    return labels_sql(file.labels, ranges, file.split_settings(), where=f"task '{name}'")


def open_database(
    where: str | Path, *, home: str | Path | None = None, progress: Callable[[str], None] | None = None
) -> Database:
    """Open a database.

    Args:
        where: A DuckDB file, a folder of CSV or Parquet files, or a project file (``foreknow.yaml``, or the folder it
            is in).
        home: Workspace for snapshots, graphs and runs; ``.foreknow`` beside the project file or in the working
            directory if not given.
        progress: Told what takes time.

    Raises:
        ConfigError: The project file is not understood.
        SourceError: There is nothing to open.
    """
    path = Path(where).expanduser()
    is_project = path.suffix in (".yaml", ".yml") or (path.is_dir() and (path / "foreknow.yaml").exists())
    if is_project:
        project = load_project(path)
    else:
        if not path.exists() and "://" not in str(where):
            raise ConfigError(
                f"there is nothing at '{where}'",
                hint="give a DuckDB file, a folder of CSV or Parquet files, or a project file",
            )
        project = Project(file=ProjectFile(source=str(where)))
    workspace = Path(home).expanduser() if home is not None else project.base / HOME
    return Database(
        project=project,
        source=open_source(project.file.source, base=project.base),
        workspace=workspace.resolve(),
        progress=progress,
    )
