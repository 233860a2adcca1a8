"""The MLflow server of a workspace: one process, loopback only, SQLite behind it.

Whoever needs it first starts it; others on the same workspace find it by ``mlflow.json`` and share it. Every user
holds a shared lock on ``.mlflow.users`` as long as it lives, so the last one to leave, or its guard if it was killed,
knows that it is the last and stops the server. Nobody's training loses its server because another one ended.

Starting takes many seconds (minutes on a slow first start), so it is done in the background: `MLflowServer.start`
returns at once, `MLflowServer.wait` when the page answers.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psutil

from foreknow.errors import TrackingError
from foreknow.track.guard import Guard

__all__ = ["MLflowServer", "free_port", "is_same_process", "stop_group", "stop_unused", "this_process"]

logger = logging.getLogger(__name__)

FIRST_PORT = 5000
START_TIMEOUT_S = 240.0
BORN = ".mlflow.born"  # the server of this workspace has answered once: its database is whole
START_ATTEMPTS = 3  # another program may take the port while the server starts


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
        self.guard: Guard | None = None
        self._users: IO[str] | None = None
        self._attempts = 0

    @property
    def log_path(self) -> Path:
        """What the server printed."""
        return self.workspace / "mlflow.log"

    @property
    def is_owner(self) -> bool:
        """Whether this object started the server. Whoever leaves last stops it, owner or not."""
        return self.process is not None

    @property
    def is_running(self) -> bool:
        """Whether the workspace's server lives, whoever started it. It may not answer yet."""
        return _running(self.workspace) is not None

    def restart(self) -> MLflowServer:
        """Start the server again after it went, at the same port if that is free. Doesn't wait for it."""
        self.stop()
        self._attempts = 0
        return self.start()

    def start(self) -> MLflowServer:
        """Find the running server of this workspace, or start one. Doesn't wait for it."""
        if self._users is not None:
            return self
        self.workspace.mkdir(parents=True, exist_ok=True)
        with _alone(self.workspace):
            self._users = (self.workspace / ".mlflow.users").open("w")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            record = _running(self.workspace)
            if record is None:
                self._spawn()
            else:
                self.url, self.port = record["url"], urlsplit(record["url"]).port or 0
        self.guard = Guard()
        self.guard.watch_server(self.workspace)
        atexit.register(self.stop)
        return self

    def wait(self, timeout: float = START_TIMEOUT_S) -> MLflowServer:
        """Wait until the server answers.

        Raises:
            TrackingError: It ended, or doesn't answer in time.
        """
        end = time.monotonic() + timeout
        while not self._answers():
            if self.process is not None and self.process.poll() is not None:
                if self._attempts < START_ATTEMPTS and _is_taken(self.port):
                    with _alone(self.workspace):
                        self._spawn()
                    continue
                raise TrackingError(
                    f"the MLflow server ended with status {self.process.returncode}:\n{self._tail()}",
                    hint=f"the whole log is in '{self.log_path}'",
                )
            if self.process is None and _running(self.workspace) is None:
                raise TrackingError(
                    f"the MLflow server at {self.url}, which another process started, is gone",
                    hint=f"try again; its log is in '{self.log_path}'",
                )
            if time.monotonic() > end:
                raise TrackingError(
                    f"the MLflow server at {self.url} doesn't answer after {timeout:.0f} s",
                    hint=f"look into '{self.log_path}', or point MLFLOW_TRACKING_URI to another server",
                )
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        """Leave the server; it is stopped if nobody else uses it. Does nothing the second time."""
        if self._users is None:
            return
        atexit.unregister(self.stop)
        users, self._users = self._users, None
        users.close()
        stop_unused(self.workspace)
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.returncode = 0  # it lives on for others; Popen needn't warn of that
        if self.guard is not None:
            self.guard.dismiss()
            self.guard = None

    def _spawn(self) -> None:
        self._attempts += 1
        _drop_unborn_store(self.workspace)
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
            **{k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
            "PATH": path,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.workspace,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        record = {
            "pid": self.process.pid,
            "started": psutil.Process(self.process.pid).create_time(),
            "url": self.url,
        }
        temporary = self.workspace / f".mlflow.json.{os.getpid()}"
        temporary.write_text(json.dumps(record))
        os.replace(temporary, self.workspace / "mlflow.json")

    def _answers(self) -> bool:
        """Whether this workspace's server answers, and not some other one that was quicker to take the port."""
        if not _is_healthy(self.url):
            return False
        record = _running(self.workspace)
        if record is None or not _listens(record["pid"], self.port):
            return False
        (self.workspace / BORN).touch()
        return True

    def _tail(self, lines: int = 12) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _drop_unborn_store(workspace: Path) -> None:
    """Remove the database of a server that was killed while it made it: MLflow would refuse it for ever.

    Such a database holds no run and no model; one that holds any, or whose server has ever answered, stays.
    """
    path = workspace / "mlflow.db"
    if (workspace / BORN).exists() or not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in known & {"runs", "registered_models"}:
                if connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
                    return
    except sqlite3.Error as e:
        logger.warning("'%s' can't be read: %s", path, e)
        return
    logger.warning("'%s' was never finished and is made anew", path)
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def stop_unused(workspace: Path) -> None:
    """Stop the server of a workspace unless somebody uses it."""
    with _alone(workspace):
        with (workspace / ".mlflow.users").open("w") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        record = _running(workspace)
        if record is not None:
            stop_group(record["pid"])
        (workspace / "mlflow.json").unlink(missing_ok=True)


@contextmanager
def _alone(workspace: Path) -> Iterator[None]:
    """One process at a time starts or stops the server of a workspace."""
    with (workspace / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _running(workspace: Path) -> dict[str, Any] | None:
    """What ``mlflow.json`` says of the server, if that process lives."""
    try:
        record: dict[str, Any] = json.loads((workspace / "mlflow.json").read_text())
        is_alive = is_same_process(record["pid"], record["started"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None
    return record if is_alive else None


def is_same_process(pid: int, started: float) -> bool:
    """Whether a process number still means the process it meant then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def this_process() -> dict[str, float]:
    """What `is_same_process` needs to know of the process that calls."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


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
        if _is_gone(pid):
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; one nobody has waited for has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _is_healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is never behind a proxy
    try:
        with opener.open(f"{url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(pid: int, port: int) -> bool:
    """Whether a process or one it started listens on a port; yes if this system doesn't tell."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return False
    for member in family:
        try:
            connections = member.net_connections("tcp")
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return True
    return False


def _is_taken(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port(first: int) -> int:
    """The first free loopback port from `first` on.

    Raises:
        TrackingError: None of 200 is free.
    """
    last = min(first + 199, 65535)
    for port in range(first, last + 1):
        if not _is_taken(port):
            return port
    raise TrackingError(f"no free port between {first} and {last}", hint="choose another with --port")
