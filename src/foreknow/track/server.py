"""The MLflow server of a workspace: one process, loopback only, SQLite behind it.

Whoever starts a server owns it and stops it; others on the same workspace find it by ``mlflow.json`` and share it.
Starting takes many seconds (minutes on a slow first start), so it is done in the background: `MLflowServer.start`
returns at once, `MLflowServer.wait` when the page answers.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from foreknow.errors import TrackingError

__all__ = ["MLflowServer", "free_port", "is_same_process", "stop_group"]

logger = logging.getLogger(__name__)

FIRST_PORT = 5000
START_TIMEOUT_S = 240.0


class MLflowServer:
    """The server of a workspace, started or found.

    Args:
        workspace: Folder holding ``mlflow.db`` and the artifacts.
        port: Port to use if free; the next free one otherwise.
    """

    def __init__(self, workspace: Path, *, port: int = FIRST_PORT) -> None:
        self.workspace = workspace.resolve()
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def log_path(self) -> Path:
        """What the server printed."""
        return self.workspace / "mlflow.log"

    @property
    def is_owner(self) -> bool:
        """Whether this object started the server."""
        return self.process is not None

    def start(self) -> MLflowServer:
        """Find a healthy server of this workspace, or start one. Doesn't wait for it."""
        self.workspace.mkdir(parents=True, exist_ok=True)
        found = self._find()
        if found is not None:
            self.url = found
            return self
        self.port = free_port(self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.workspace / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.workspace / "mlartifacts")),
        ]
        # uvicorn is looked up on PATH: an environment that isn't activated would not find it
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {
            **os.environ,
            "PATH": path,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        record = {
            "pid": self.process.pid,
            "started": psutil.Process(self.process.pid).create_time(),
            "url": self.url,
        }
        temporary = self.workspace / f".mlflow.json.{os.getpid()}"
        temporary.write_text(json.dumps(record))
        os.replace(temporary, self.workspace / "mlflow.json")
        atexit.register(self.stop)
        return self

    def wait(self, timeout: float = START_TIMEOUT_S) -> MLflowServer:
        """Wait until the server answers.

        Raises:
            TrackingError: It ended, or doesn't answer in time.
        """
        end = time.monotonic() + timeout
        while not _is_healthy(self.url):
            if self.process is not None and self.process.poll() is not None:
                raise TrackingError(
                    f"the MLflow server ended with status {self.process.returncode}:\n{self._tail()}",
                    hint=f"the whole log is in '{self.log_path}'",
                )
            if time.monotonic() > end:
                raise TrackingError(
                    f"the MLflow server at {self.url} doesn't answer after {timeout:.0f} s",
                    hint=f"look into '{self.log_path}', or point MLFLOW_TRACKING_URI to another server",
                )
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        """Stop the server if this object started it."""
        process, self.process = self.process, None
        if process is None:
            return
        atexit.unregister(self.stop)
        stop_group(process.pid)
        process.wait()
        record = self._record()
        if record is not None and record["pid"] == process.pid:
            (self.workspace / "mlflow.json").unlink(missing_ok=True)

    def _find(self) -> str | None:
        record = self._record()
        if record is None or not is_same_process(record["pid"], record["started"]):
            return None
        url: str = record["url"]
        return url

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.workspace / "mlflow.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record

    def _tail(self, lines: int = 12) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def is_same_process(pid: int, started: float) -> bool:
    """Whether a process number still means the process it meant then."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 2
    except psutil.Error:
        return False


def stop_group(pid: int, grace_s: float = 10.0) -> None:
    """End a process started in a session of its own, and all it started."""
    try:
        group = os.getpgid(pid)
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return
    end = time.monotonic() + grace_s
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):  # not our child, or waited for already
            os.waitpid(pid, os.WNOHANG)
        if not psutil.pid_exists(pid):
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port(first: int) -> int:
    """The first free loopback port from `first` on."""
    for port in range(first, first + 200):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise TrackingError(f"no free port between {first} and {first + 199}")
