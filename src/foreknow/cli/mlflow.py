"""``foreknow mlflow``: the page of the workspace's runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import ProjectOption, err, open_project, out


def mlflow(
    project: ProjectOption = Path("."),
    port: Annotated[int, typer.Option(help="Port to use; the next free one if it is taken.")] = 5000,
) -> None:
    """Show the MLflow page of the project's runs until Ctrl-C."""
    from foreknow.track.server import MLflowServer

    server = MLflowServer(open_project(project).workspace, port=port).start()
    err.print("[dim]starting MLflow (the first time takes up to a minute)[/]")
    server.wait()
    out.print(f"{server.url}/?workflowType=machine_learning", soft_wrap=True)
    if not server.is_owner:
        err.print("it was running already")
        return
    err.print("[dim]Ctrl-C ends it[/]")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        err.print("stopping")
    finally:
        server.stop()
