"""The guard: does what a killed process can't do any more.

MLflow shows the run of a killed process as Running for ever, and nobody stops the server it used. So such a process
starts a guard and tells it, through a pipe, which runs are open and which server it uses. However the process ends,
the pipe closes: the guard marks the runs that are still open KILLED, and leaves the server, which ends with its
last user. A process that ends properly dismisses its guard.

Standard library only (but for stopping a server): it must be small, and start and end quickly. What it is told goes
through the pipe rather than the command line, where others could read an address with a password.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Guard", "call_rest", "close_run"]


class Guard:
    """A guard process, told what to do should this process be killed."""

    def __init__(self) -> None:
        read, self._write = os.pipe()
        # -P: this file's folder, with its mlflow.py, must not come first on the module path
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=read,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read)

    def watch_run(self, url: str, run_id: str) -> None:
        """A run is open: mark it KILLED should this process end."""
        self._tell({"run": run_id, "url": url})

    def forget_run(self, run_id: str) -> None:
        """The run is closed properly."""
        self._tell({"closed": run_id})

    def watch_server(self, workspace: Path) -> None:
        """The server of a workspace is in use: leave it should this process end."""
        self._tell({"workspace": str(workspace)})

    def dismiss(self) -> None:
        """Nothing is left to do: the guard may go. Does nothing the second time."""
        if self._write < 0:
            return
        self._tell({"dismissed": True})
        os.close(self._write)
        self._write = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=30)

    def _tell(self, message: dict[str, Any]) -> None:
        if self._write < 0:
            return
        with contextlib.suppress(BrokenPipeError):  # somebody ended the guard: work goes on without
            os.write(self._write, json.dumps(message).encode() + b"\n")


def close_run(url: str, run_id: str, *, attempts: int = 5) -> bool:
    """Mark a run KILLED unless it is closed already. Returns whether the server could be asked."""
    for attempt in range(attempts):
        try:
            answer = call_rest(f"{url}/api/2.0/mlflow/runs/get?run_id={run_id}", "GET")
            if answer["run"]["info"]["status"] in ("RUNNING", "SCHEDULED"):
                now = int(time.time() * 1000)
                update = {"run_id": run_id, "status": "KILLED", "end_time": now}
                call_rest(f"{url}/api/2.0/mlflow/runs/update", "POST", update)
            return True
        except urllib.error.HTTPError as e:
            if e.code == 404:  # the run was deleted
                return True
            time.sleep(0.5 * (attempt + 1))
        except (OSError, KeyError, ValueError):
            time.sleep(0.5 * (attempt + 1))
    return False


def call_rest(url: str, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to MLflow's REST interface, with the credentials MLflow's own client would send."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    user, password = parts.username, parts.password
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user is None:
        user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(bare, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def stand_guard(lines: Iterable[bytes]) -> None:
    """Take notes until the pipe closes, then do what is left to do."""
    runs: dict[str, str] = {}
    workspaces: set[str] = set()
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:  # killed in the middle of a word
            continue
        if "run" in message:
            runs[message["run"]] = message["url"]
        elif "closed" in message:
            runs.pop(message["closed"], None)
        elif "workspace" in message:
            workspaces.add(message["workspace"])
        else:
            return
    for run_id, url in runs.items():
        close_run(url, run_id)
    if workspaces:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        from foreknow.track.server import stop_unused

        for workspace in sorted(workspaces):
            stop_unused(Path(workspace))


if __name__ == "__main__":
    stand_guard(sys.stdin.buffer)
