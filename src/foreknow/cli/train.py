"""``foreknow train`` and ``foreknow task``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from foreknow.cli.console import (
    JsonOption,
    ProjectOption,
    TerminalReporter,
    open_project,
    out,
    print_json,
    show_rows,
    show_scoreboard,
)
from foreknow.errors import ConfigError

TaskArgument = Annotated[str, typer.Argument(help="Name of a task of the project file.")]


def task(name: TaskArgument, project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """Preview a task before anything is trained: rows, seed times and labels per split, and what is wrong.

    [bold]Example[/bold]

      foreknow task Churn
    """
    from foreknow import workflow

    bound = open_project(project).task(name)
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
    out.print(f"[bold]{bound.experiment}[/], entity {bound.task.entity_table}, metric {bound.task.metric}")
    show_rows(splits)


def train(
    name: TaskArgument,
    project: ProjectOption = Path("."),
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Training rows per step.")] = None,
    num_neighbors: Annotated[str | None, typer.Option(help="Rows drawn per link and hop, e.g. 128,64.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Seconds of training after which it stops.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same model.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Any other parameter: NAME=VALUE; see --parameters.")
    ] = None,
    register: Annotated[str | None, typer.Option(help="Add the model to this registered model.")] = None,
    alias: Annotated[str | None, typer.Option(help="Alias for the new version, e.g. champion.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with an interrupted run: its id, or 'latest'.", metavar="RUN")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Train baselines to compare with.")] = True,
    parameters: Annotated[
        bool,
        typer.Option(
            "--parameters",
            help="List all training parameters and their defaults.",
            is_eager=True,
            callback=lambda v: _list_parameters() if v else None,
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train a model for a task, live in MLflow.

    The run stands under the experiment Dataset/task_type/Task. Set MLFLOW_TRACKING_URI to use a server of your own;
    otherwise one is started for the time of the training ("foreknow mlflow" shows the page again).

    [bold]Examples[/bold]

      foreknow train Churn

      foreknow train Churn --epochs 20 --set channels=64 --register churn --alias champion

      foreknow train Churn --resume latest
    """
    from foreknow import workflow
    from foreknow.project import make_config

    database = open_project(project)
    bound = database.task(name)
    given = {
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "num_neighbors": None if num_neighbors is None else _numbers(num_neighbors),
        "time_budget": time_budget,
        "seed": seed,
        "device": device,
    }
    values = {k: v for k, v in given.items() if v is not None} | _parse_settings(set_ or [])
    if resume is not None:
        run_id = workflow.find_resumable(bound, resume)
        if values:
            raise ConfigError("a resumed run goes on with its own parameters", hint="leave the other options out")
        config = make_config(workflow.resumed_config(database.workspace, run_id))
        resume = run_id
    else:
        config = make_config({**database.project.file.train, **values})
    with TerminalReporter(quiet=json, metric=bound.task.metric) as reporter:
        run = workflow.train(
            bound,
            config,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
            register=register,
            alias=alias,
            resume=resume,
            baselines=baselines,
            reporter=reporter,
        )
    if json:
        print_json(run.to_dict())
        return
    show_scoreboard(run.scoreboard, bound.task.metric)
    out.print(f"best epoch {run.best_epoch} of {len(run.history)}; {run.stopped}")
    if run.model_version:
        out.print(f"registered: models:/{register}/{run.model_version}")
    where = "" if project == Path(".") else f" --project {project}"
    out.print(f"\nnext: foreknow predict --run {run.run_id} --into PREDICTIONS_{name.upper()}{where}", soft_wrap=True)
    out.print(f"      foreknow mlflow{where}   (the run's page)", soft_wrap=True)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace("[", "").replace("]", "").split(",")]
    except ValueError as e:
        raise ConfigError(f"'{text}' is no list of numbers", hint="write e.g. 128,64") from e


def _parse_settings(pairs: list[str]) -> dict[str, Any]:
    import yaml

    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"'{pair}' sets nothing", hint="write NAME=VALUE, e.g. --set channels=64")
        values[name.strip()] = yaml.safe_load(value)
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
    for f in sorted(fields(TrainConfig), key=lambda f: f.name):
        default = list(f.default) if isinstance(f.default, tuple) else f.default
        out.print(f"[bold]{f.name}[/] = {default}", end="")
        out.print(f"   {comments.get(f.name, '')}", style="dim", markup=False)
    raise typer.Exit
