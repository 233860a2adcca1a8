"""``foreknow up``, ``status`` and ``down``: the engine of a workspace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from foreknow.cli.console import JsonOption, ProjectOption, err, out, print_json
from foreknow.errors import EngineError, ForeknowError

READY_TIMEOUT_S = 240.0
DOWN_TIMEOUT_S = 45.0
PORT = 8770
MLFLOW_PORT = 5000


def up(
    project: ProjectOption = Path("."),
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Of the engine; else the next free.")
    ] = PORT,
    mlflow_port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Of MLflow; else the next free.")
    ] = MLFLOW_PORT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Beyond this machine, FOREKNOW_TOKEN must be set.")
    ] = "127.0.0.1",
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Jobs per device at a time.")] = 1,
    allow_path: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Requests may name paths in here too.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name the engine is called by.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it is up.", metavar="")] = False,
    json: JsonOption = False,
) -> None:
    """Start the engine and MLflow, until Ctrl-C.

    The engine runs jobs, one at a time per device, for clients in Python,
    over HTTP and here. Jobs that run when it ends go on when it is next up.

    [bold]Examples[/bold]

      foreknow up
      foreknow up --project shop --detach
      foreknow up --workers 2 --port 9000
    """
    from foreknow.service.access import check_bind

    token = os.environ.get("FOREKNOW_TOKEN")
    check_bind(host, token)
    if detach:
        options: dict[str, list[Any]] = {
            "project": [project.resolve()],
            "port": [port],
            "mlflow-port": [mlflow_port],
            "host": [host],
        }
        more: dict[str, list[Any]] = {
            "workers": [workers],
            "allow-path": allow_path or [],
            "allow-host": allow_host or [],
        }
        _detach(project, {**options, **more}, json)
        return
    from foreknow.engine.engine import Engine

    engine = Engine(
        project,
        workspace=os.environ.get("FOREKNOW_HOME"),
        workers=workers,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
        mlflow_port=mlflow_port,
        allow_paths=allow_path or (),
    )
    try:
        _serve(engine, host, port, mlflow_port, token, allow_host or [], json)
    finally:
        engine.close()


def _serve(
    engine: Any, host: str, port: int, mlflow_port: int, token: str | None, names: list[str], json: bool
) -> None:
    from foreknow.service.access import names_of
    from foreknow.service.app import create_app
    from foreknow.service.server import HTTPServer, listen

    listening = listen(host, port)
    given = listening.getsockname()[1]
    server = HTTPServer(create_app(engine, token=token, hosts=names_of(host) | set(names)), listening)
    with _ended() as ended:  # before anybody can know that it runs, and so end it
        try:
            engine.start(address=server.address)
            server.start()
            if given != port:
                err.print(f"port {port} is taken: the engine uses {given}", markup=False)
            out_to = err if json else out
            out_to.print(f"engine  {server.address}", markup=False, soft_wrap=True)
            _await_mlflow(engine, mlflow_port, ended, out_to)
            if json and not ended.is_set():
                print_json({"engine": server.address, "mlflow": engine.health()["mlflow"]["url"], "pid": os.getpid()})
            while not ended.wait(1.0):
                if not server.is_running:
                    raise EngineError("the HTTP server has ended", hint="the lines above may say why")
            err.print("\nstopping; jobs that run go on when the engine is next up", markup=False)
        finally:
            server.stop()


def _await_mlflow(engine: Any, port: int, ended: threading.Event, out_to: Any) -> None:
    """Say where MLflow is as soon as it answers."""
    end = time.monotonic() + READY_TIMEOUT_S
    while not ended.is_set() and not engine.wait_ready(0.2):
        if time.monotonic() > end:
            problem = engine.health()["problem"]
            err.print(f"MLflow doesn't answer; jobs wait for it. {problem or ''}", markup=False)
            return
    if not ended.is_set():
        url = engine.health()["mlflow"]["url"]
        if engine.tracking_uri is None and urlsplit(url).port != port:
            err.print(f"port {port} is taken: MLflow uses {urlsplit(url).port}", markup=False)
        out_to.print(f"MLflow  {url}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def _ended() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM; a second one ends the process as usual."""
    event = threading.Event()

    def end(number: int, _: object) -> None:
        event.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _detach(project: Path, options: dict[str, list[Any]], json: bool) -> None:
    """Start the same command in a session of its own, and wait until it is up."""
    from foreknow.engine.engine import find_engine, workspace_of

    workspace = workspace_of(project.resolve(), os.environ.get("FOREKNOW_HOME"))
    running = find_engine(workspace)
    if running is not None:
        where = running["address"] or f"process {running['pid']}"
        raise EngineError(f"an engine runs on '{workspace}' already at {where}", hint="end it with: foreknow down")
    workspace.mkdir(parents=True, exist_ok=True)
    log = workspace / "engine.log"
    arguments = [word for name, values in options.items() for v in values for word in (f"--{name}", str(v))]
    with log.open("ab") as file:
        begin = file.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "foreknow", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        if child.poll() is not None:
            said = log.read_bytes()[begin:].decode("utf-8", "replace").strip()
            raise EngineError(f"the engine ended at once: {said[-2000:]}", hint=f"its log is '{log}'")
        health = _health(workspace)
        if health is not None and health["mlflow"]["is_ready"]:
            child.returncode = 0  # it lives on; Popen needn't warn of that
            _tell(health, json)
            return
        time.sleep(0.2)
    raise EngineError(f"the engine is not up after {READY_TIMEOUT_S:.0f} s", hint=f"its log is '{log}'")


def _health(workspace: Path) -> dict[str, Any] | None:
    """What the engine of a workspace says of itself, with its address; None if there is none that answers."""
    from foreknow.client.http import HTTPOperations
    from foreknow.engine.engine import find_engine

    record = find_engine(workspace)
    if record is None or record["address"] is None:
        return None
    connection = HTTPOperations(record["address"], token=os.environ.get("FOREKNOW_TOKEN"))
    try:
        with contextlib.suppress(ForeknowError):  # it is starting, or ending
            return {"address": record["address"], "pid": record["pid"], **connection.health()}
        return None
    finally:
        connection.close()


def _tell(health: dict[str, Any], json: bool) -> None:
    if json:
        print_json(health)
        return
    mlflow = health["mlflow"]
    waiting, running = health["jobs"]["QUEUED"], health["jobs"]["RUNNING"]
    out.print(f"engine  {health['address']}  (process {health['pid']}, {health['status']})", markup=False)
    out.print(f"MLflow  {mlflow['url']}" + ("" if mlflow["is_ready"] else "  (not ready)"), markup=False)
    out.print(f"jobs    {running} running, {waiting} waiting", markup=False)
    if health["problem"]:
        err.print(str(health["problem"]), markup=False, soft_wrap=True)


def status(project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """Show whether the engine runs, where, and what it has to do.

    [bold]Examples[/bold]

      foreknow status
      foreknow status --project shop --json
    """
    workspace = _workspace(project)
    health = _health(workspace)
    if health is None:
        raise EngineError(f"no engine runs on '{workspace}'", hint="start one with: foreknow up")
    _tell(health, json)


def down(project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """End the engine. Jobs that run go on when it is next up.

    [bold]Examples[/bold]

      foreknow down
      foreknow down --project shop
    """
    from foreknow.engine.engine import find_engine

    workspace = _workspace(project)
    record = find_engine(workspace)
    if record is None:
        raise EngineError(f"no engine runs on '{workspace}'", hint="there is nothing to end")
    if record["address"] is None:
        raise EngineError(
            f"the engine is part of process {record['pid']}", hint="close its client, or end that process"
        )
    with contextlib.suppress(ProcessLookupError):
        os.kill(record["pid"], signal.SIGTERM)
    end = time.monotonic() + DOWN_TIMEOUT_S
    while find_engine(workspace) is not None:
        if time.monotonic() > end:
            raise EngineError(f"the engine (process {record['pid']}) doesn't end", hint="look into its log")
        time.sleep(0.1)
    if json:
        print_json({"ended": record["pid"]})
    else:
        out.print("the engine is down", markup=False)


def _workspace(project: Path) -> Path:
    from foreknow.engine.engine import workspace_of

    return workspace_of(project.resolve(), os.environ.get("FOREKNOW_HOME"))
