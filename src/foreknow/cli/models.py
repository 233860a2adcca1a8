"""``foreknow models``: registered models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import JsonOption, ProjectOption, open_project, out, print_json, show_rows

app = typer.Typer(help="Registered models: list them, register a run's model.", no_args_is_help=True)


def _server(project: Path) -> str:
    from foreknow.track.server import MLflowServer

    return os.environ.get("MLFLOW_TRACKING_URI") or MLflowServer(open_project(project).workspace).start().wait().url


@app.command("list")
def list_(project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """List registered models with versions, aliases and the runs they come from."""
    from foreknow.track.mlflow import Registry

    versions = Registry(_server(project)).list()
    rows = [
        {"model": v.name, "version": v.version, "aliases": ", ".join(v.aliases), "run_id": v.run_id} for v in versions
    ]
    if json:
        print_json({"models": rows})
    elif rows:
        show_rows(rows)
    else:
        out.print("no model is registered yet: foreknow train TASK --register NAME")


@app.command("register")
def register(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    run: Annotated[str, typer.Option("--run", help="Run whose model to register.", metavar="RUN_ID")],
    project: ProjectOption = Path("."),
    alias: Annotated[str | None, typer.Option(help="Alias for the new version, e.g. champion.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a trained model a version of a registered model."""
    from foreknow.track.mlflow import Registry

    version = Registry(_server(project)).register_run(name, run, alias=alias)
    if json:
        print_json({"model": version.name, "version": version.version, "run_id": version.run_id})
        return
    out.print(f"registered: {version.uri}" + (f", alias {alias}" if alias else ""))
