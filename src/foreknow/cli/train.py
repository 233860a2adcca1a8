"""``foreknow train`` and ``foreknow task``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from foreknow.cli.audit import AllowOption
from foreknow.cli.console import (
    JsonOption,
    ProjectOption,
    TerminalReporter,
    err,
    open_task,
    out,
    print_json,
    show_rows,
    show_scoreboard,
)
from foreknow.errors import ConfigError

if TYPE_CHECKING:
    from foreknow.database import BoundTask

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="A task of the project file, or a predictive query: PREDICT ...")
]


def task(
    name: TaskArgument,
    project: ProjectOption = Path("."),
    sql: Annotated[bool, typer.Option("--sql", help="Show the SQL of each split.", metavar="")] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the task tables: NAME_train, NAME_validation, NAME_test.", metavar="")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Save here instead: a DuckDB file, or a folder for Parquet files."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Preview a task: rows, seed times and labels per split.

    Nothing is trained. What is wrong with the task or its tables is told, all
    of it at once. Of a predictive query it says in words what it means.

    [bold]Examples[/bold]

      foreknow task Churn
      foreknow task Churn --project shop --json
      foreknow task "PREDICT COUNT(orders.*, 0, 30) = 0 FOR EACH users.id" --sql
    """
    from foreknow import workflow

    bound = open_task(project, name)
    if bound.resolved is not None:
        _preview(bound, sql=sql, save=save, to=to, json=json)
        return
    if sql or save or to is not None:
        raise ConfigError("--sql, --save and --to go with predictive queries", hint="this task has tables already")
    with TerminalReporter(quiet=json, metric=bound.task.metric) as reporter:
        prepared = workflow.prepare(bound, reporter=reporter)
    splits = workflow.describe_splits(prepared)
    if json:
        print_json(
            {
                "task": bound.task.to_dict(),
                "experiment": bound.experiment,
                "splits": splits,
                "findings": [f.to_dict() for f in prepared.findings],
            }
        )
        return
    text = f"{bound.experiment}, entity {bound.task.entity_table}, metric {bound.task.metric}"
    out.print(text, markup=False, soft_wrap=True)
    show_rows(splits)


def _preview(bound: BoundTask, *, sql: bool, save: bool, to: Path | None, json: bool) -> None:
    from foreknow import workflow

    found = bound.preview()
    saved = workflow.save_tables(bound, found.tables, to=to) if save or to is not None else {}
    for finding in found.findings:
        if finding.severity == "warning" and not json:
            err.print(f"warning: {finding}", style="yellow", markup=False, soft_wrap=True)
    if json:
        print_json(
            {
                "task": bound.task.to_dict(),
                "experiment": bound.experiment,
                "explanation": list(found.explanation),
                "splits": [dict(s) for s in found.splits],
                "sql": dict(found.sql),
                "saved": saved,
                "findings": [f.to_dict() for f in found.findings],
            }
        )
        return
    for line in found.explanation:
        out.print(line, markup=False, soft_wrap=True)
    show_rows([_flat(split) for split in found.splits])
    for split, statement in found.sql.items() if sql else ():
        out.print(f"-- {split}\n{statement};\n", markup=False, soft_wrap=True)
    for where in saved.values():
        out.print(f"written: {where}", markup=False, soft_wrap=True)


def _flat(split: Mapping[str, Any]) -> dict[str, Any]:
    """A split's description as one row of a table; how pairs became rows only where it says something."""
    row = {k: v for k, v in split.items() if k not in ("pairs", "existing", "eligible")}
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = ", ".join(f"{k} {n:,}" for k, n in value.items()) or "0"
    return row


def train(
    name: TaskArgument,
    project: ProjectOption = Path("."),
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the training rows.")] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Training rows per step.")] = None,
    num_neighbors: Annotated[
        str | None, typer.Option(metavar="N,N", help="Rows drawn per link, for each hop, e.g. 128,64.")
    ] = None,
    time_budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop training after so long.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed gives the same model.")] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu or cuda.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="Any other parameter; --parameters lists them."),
    ] = None,
    register: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make it a version of this registered model.")
    ] = None,
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Alias for the new version, e.g. champion.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with an interrupted run, or with the 'latest'.", metavar="RUN_ID")
    ] = None,
    scoreboard: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Baselines to compare with: off, quick or full. [default: quick]"),
    ] = None,
    allow: AllowOption = None,
    parameters: Annotated[
        bool,
        typer.Option(
            "--parameters",
            help="List all training parameters and their defaults.",
            metavar="",
            is_eager=True,
            callback=lambda v: _list_parameters() if v else None,
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train a model for a task, live in MLflow.

    The run stands under the experiment Dataset/task_type/Task. A server is
    started for the time of the training; "foreknow mlflow" shows the page
    again. MLFLOW_TRACKING_URI names a server of your own.

    [bold]Examples[/bold]

      foreknow train Churn
      foreknow train Churn --epochs 20 --set channels=64
      foreknow train Churn --register churn --alias champion
      foreknow train Churn --resume latest
      foreknow train "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH users.id"
    """
    from foreknow import workflow
    from foreknow.project import make_config

    bound = open_task(project, name)
    given = {
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "num_neighbors": None if num_neighbors is None else _numbers(num_neighbors),
        "time_budget": time_budget,
        "seed": seed,
        "device": device,
        "scoreboard": scoreboard,
    }
    values = {k: v for k, v in given.items() if v is not None} | _parse_settings(set_ or [])
    if resume is not None and values:
        raise ConfigError("a resumed run goes on with its own parameters", hint="leave the other options out")
    config = None if resume is not None else make_config({**bound.database.project.file.train, **values})
    where = "" if project == Path(".") else f" --project {shlex.quote(str(project))}"
    with TerminalReporter(quiet=json, metric=bound.task.metric) as reporter:
        try:
            run = workflow.train(
                bound,
                config,
                tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
                register=register,
                alias=alias,
                resume=resume,
                allow=allow or (),
                reporter=reporter,
            )
        except KeyboardInterrupt:
            if reporter.num_epochs:
                again = f"foreknow train {shlex.quote(name)} --resume latest{where}"
                err.print(f"go on with: {again}", markup=False, soft_wrap=True)
            raise
    if json:
        print_json(run.to_dict())
        return
    show_scoreboard(run.scoreboard, bound.task.metric, run.verdict)
    out.print(f"best epoch {run.best_epoch} of {len(run.history)}; {run.stopped}")
    if run.model_version:
        added = f", alias {alias}" if alias else ""
        out.print(f"registered: models:/{register}/{run.model_version}{added}", markup=False, soft_wrap=True)
    table = shlex.quote(f"PREDICTIONS_{bound.task.name.upper()}")
    out.print(f"\nnext: foreknow predict --run {run.run_id} --into {table}{where}", markup=False, soft_wrap=True)
    if run.url:
        out.print(f"      foreknow mlflow{where}   (the run's page)", markup=False, soft_wrap=True)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace("[", "").replace("]", "").split(",")]
    except ValueError as e:
        raise ConfigError(f"'{text}' is no list of numbers", hint="write e.g. 128,64") from e


def _parse_settings(pairs: list[str]) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"'{pair}' sets nothing", hint="write NAME=VALUE, e.g. --set channels=64")
        try:
            values[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as e:
            raise ConfigError(f"'{pair}' sets no value that can be read", hint="write e.g. channels=64") from e
    return values


def _list_parameters() -> None:
    """Print the parameters with their comments, read from where they are defined."""
    import inspect as source
    from dataclasses import fields

    from foreknow.nn.model import ModelConfig
    from foreknow.train.config import TrainConfig

    comments = {}
    for cls in (ModelConfig, TrainConfig):
        for line in source.getsource(cls).splitlines():
            code, hash_, comment = line.partition("  # ")
            if hash_ and ":" in code:
                comments[code.strip().partition(":")[0]] = comment.strip()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in ("parameter", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for f in sorted(fields(TrainConfig), key=lambda f: f.name):
        default = list(f.default) if isinstance(f.default, tuple) else f.default
        table.add_row(f.name, Text(json.dumps(default)), Text(comments.get(f.name, "")))
    out.print(table)
    raise typer.Exit
