"""``foreknow models``: registered models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import JsonOption, ProjectOption, open_project, out, print_json, show_rows

app = typer.Typer(
    help="Registered models: list them, register a run's model.",
    no_args_is_help=True,
)


def _server(project: Path) -> str:
    from foreknow.track.connect import connect

    return connect(open_project(project).workspace, os.environ.get("MLFLOW_TRACKING_URI"))


@app.command("list")
def list_(project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """List registered models with versions and aliases.

    Each version is told with the run it is from.

    [bold]Examples[/bold]

      foreknow models list
      foreknow models list --project shop --json
    """
    from foreknow.track.registry import Registry

    versions = Registry(_server(project)).list()
    if json:
        rows = [
            {"model": v.name, "version": v.version, "aliases": list(v.aliases), "run_id": v.run_id} for v in versions
        ]
        print_json({"models": rows})
    elif versions:
        show_rows(
            [
                {"model": v.name, "version": v.version, "aliases": ", ".join(v.aliases), "run": v.run_id}
                for v in versions
            ],
            whole=("version", "run"),
        )
    else:
        out.print("no model is registered yet: foreknow models register NAME --run RUN_ID")


@app.command("register")
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the registered model; made if new.")],
    run: Annotated[str, typer.Option("--run", help="Run whose model to register.", metavar="RUN_ID")],
    project: ProjectOption = Path("."),
    alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Alias for the new version, e.g. champion.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a trained model a version of a registered model.

    An alias moves to the new version. Predict with it from then on:
    foreknow predict --model churn@champion --into PREDICTIONS_CHURN

    [bold]Examples[/bold]

      foreknow models register churn --run 0c3e4634f3e6
      foreknow models register churn --run 0c3e4634f3e6 --alias champion
    """
    from foreknow.track.registry import Registry, check_alias, check_model_name

    check_model_name(name)
    if alias is not None:
        check_alias(alias)
    version = Registry(_server(project)).register_run(name, run, alias=alias)
    if json:
        aliases = list(version.aliases)
        print_json({"model": version.name, "version": version.version, "aliases": aliases, "run_id": version.run_id})
        return
    out.print(f"registered: {version.uri}" + (f", alias {alias}" if alias else ""), markup=False, soft_wrap=True)
