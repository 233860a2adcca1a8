"""``foreknow demo``: the whole way, from a database to predictions, in a few minutes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from foreknow.cli.console import (
    JsonOption,
    TerminalReporter,
    console_width,
    err,
    out,
    print_json,
    show_predictions,
    show_scoreboard,
)
from foreknow.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from foreknow.track.server import MLflowServer

DEMOS = ("churn", "flights")


def demo(
    which: Annotated[
        str,
        typer.Argument(
            metavar="WHICH", help="churn: a made-up shop like H&M's. flights: all flights out of Seattle in 2014."
        ),
    ] = "churn",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="PATH", help="Where to put it.", show_default="./foreknow-demo/WHICH"),
    ] = None,
    size: Annotated[str, typer.Option(metavar="SIZE", help="Of the shop: small, medium or large.")] = "small",
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Passes over the training rows.", show_default="the project's")
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(" /--no-wait", help="Don't keep the MLflow page up at the end.", metavar="", show_default=False),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Go the whole way once: database, schema, training, predictions.

    Training is watched live in MLflow, beside baselines. Everything stays in
    the folder: change foreknow.yaml there and train again.

    [bold]Examples[/bold]

      foreknow demo
      foreknow demo flights --no-wait
      foreknow demo churn --size medium --dir shop
    """
    if which not in DEMOS:
        raise ConfigError(f"there is no demo '{which}'", hint=did_you_mean(which, DEMOS, "demos"))
    from foreknow.demo.hm import SIZES
    from foreknow.project import make_config
    from foreknow.track.server import MLflowServer

    if size not in SIZES:
        raise ConfigError(f"there is no size '{size}'", hint=did_you_mean(size, SIZES, "sizes"))
    settings = {"epochs": epochs} if epochs is not None else {}
    make_config(settings)
    place = folder or Path("foreknow-demo") / which
    if place.exists() and not place.is_dir():
        raise ConfigError(f"'{place}' is no folder", hint="choose another with --dir")
    place.mkdir(parents=True, exist_ok=True)
    server = MLflowServer((place / ".foreknow").resolve()).start()

    def say(text: str) -> None:
        if not json:
            err.print(text, soft_wrap=True)

    say("[bold]MLflow[/] starts in the background")
    try:
        _run(which, place, size, settings, server, say, json)
        if wait and not json and sys.stdin.isatty() and sys.stdout.isatty():
            out.print(
                f"\nThe page stays up: {server.url}/?workflowType=machine_learning   (Ctrl-C ends it)", soft_wrap=True
            )
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it
                while True:
                    time.sleep(3600)
    finally:
        server.stop()


def _run(
    which: str,
    place: Path,
    size: str,
    settings: dict[str, Any],
    server: MLflowServer,
    say: Callable[[str], None],
    json: bool,
) -> None:
    from foreknow import workflow
    from foreknow.database import open_database
    from foreknow.demo import projects
    from foreknow.project import make_config

    made = projects.make(which, place, size=size, progress=lambda t, s: say(f"[dim]{s:>4.0%} {t}[/]"))
    database = open_database(made.project_file, home=place / ".foreknow")
    if not json:
        say(f"[bold]The database[/]: {escape(database.source.uri)}")
        out.print(database.describe(width=console_width()), markup=False, soft_wrap=True)
        say(f"[bold]The task[/]: {made.question}")
    bound = database.task(made.task)
    config = make_config({**database.project.file.train, **settings})
    with TerminalReporter(quiet=json, metric=bound.task.metric) as reporter:
        run = workflow.train(bound, config, server=server, reporter=reporter)
        done = workflow.predict(database, run_id=run.run_id, into=made.table, overwrite=True, reporter=reporter)
    if json:
        print_json({**run.to_dict(), "predictions": dict(done.tables), "project": str(made.project_file)})
        return
    out.print()
    show_scoreboard(run.scoreboard, bound.task.metric, run.verdict)
    show_predictions(done.head, title=f"{made.table}: the first of {done.num_rows:,} rows")
    for where in done.tables.values():
        out.print(f"predictions: {where}", markup=False, soft_wrap=True)
    out.print(f"project file: {made.project_file}", markup=False, soft_wrap=True)
    out.print("\n[bold]Next[/]")
    for command, why in made.next_commands(run.run_id):
        out.print(f"  {command}", markup=False, soft_wrap=True)
        out.print(f"      [dim]{why}[/]", soft_wrap=True)
