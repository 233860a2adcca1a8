"""Reach a tracking server: the one a person names, or the workspace's own."""

from __future__ import annotations

import json
from pathlib import Path

from foreknow.track.guard import close_run
from foreknow.track.mlflow import check_reachable, deliver_unsent
from foreknow.track.server import MLflowServer, is_same_process

__all__ = ["connect"]


def connect(workspace: Path, url: str | None, *, server: MLflowServer | None = None) -> str:
    """Find a tracking server that answers, send it what earlier runs could not, and close runs whose process is gone.

    Args:
        workspace: Holds the runs, and the server's database if `url` is not given.
        url: Address a person gave.
        server: The workspace's server if it was started already.

    Returns:
        The address. A server started here is left when this process ends.

    Raises:
        TrackingError: No server answers.
    """
    if url is None:
        url = (server or MLflowServer(workspace).start()).wait().url
    else:
        check_reachable(url)
    deliver_unsent(workspace / "runs", url)
    _close_lost(workspace / "runs", url)
    return url


def _close_lost(runs: Path, url: str) -> None:
    """Close runs left open by a process that ended together with its guard, as in a power cut."""
    if not url.startswith("http"):
        return
    for file in runs.glob("*/run.json"):
        process = json.loads(file.read_text()).get("process")
        is_finished = (file.parent / "result.json").exists()
        if process is not None and not is_finished and not is_same_process(int(process["pid"]), process["started"]):
            close_run(url, file.parent.name, attempts=1)
