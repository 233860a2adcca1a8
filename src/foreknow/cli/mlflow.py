"""``foreknow mlflow``: the page of the workspace's runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import ProjectOption, err, open_project, out


def mlflow(
    project: ProjectOption = Path("."),
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port to use; the next free one if it is taken.")
    ] = 5000,
) -> None:
    """Show the MLflow page of the project's runs until Ctrl-C.

    What a training could not send because the server was away is sent now.

    [bold]Examples[/bold]

      foreknow mlflow
      foreknow mlflow --project shop --port 5050
    """
    from foreknow.track.connect import connect
    from foreknow.track.server import MLflowServer

    server = MLflowServer(open_project(project).workspace, port=port).start()
    try:
        if server.is_owner:
            err.print("[dim]starting MLflow (the first time takes up to a minute)[/]")
        connect(server.workspace, None, server=server)
        out.print(f"{server.url}/?workflowType=machine_learning", soft_wrap=True)
        err.print("[dim]Ctrl-C ends it[/]" if server.is_owner else "[dim]it was running already; Ctrl-C leaves it[/]")
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            while True:
                time.sleep(3600)
    finally:
        server.stop()
