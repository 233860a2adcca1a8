"""One MLflow server per workspace, shared by its users and stopped by the last of them."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from foreknow.errors import TrackingError
from foreknow.track.server import (
    BORN,
    MLflowServer,
    _drop_unborn_store,
    free_port,
    is_same_process,
    stop_group,
    this_process,
)

pytestmark = pytest.mark.xdist_group("mlflow")


@contextlib.contextmanager
def listening(port=0):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
        yield s.getsockname()[1]


def wait_until(fact, timeout=30):
    end = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.05)


def test_it_answers_on_loopback_only(server):
    assert urllib.request.urlopen(f"{server.url}/health").read() == b"OK"
    assert server.url.startswith("http://127.0.0.1:")
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    addresses = {c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_no_telemetry_and_few_processes(server):
    environment = psutil.Process(server.process.pid).environ()
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert len(psutil.Process(server.process.pid).children(recursive=True)) <= 2


def test_everything_is_in_the_workspace(server):
    assert (server.workspace / "mlflow.db").exists()
    assert not (server.workspace / "mlruns").exists()
    record = json.loads((server.workspace / "mlflow.json").read_text())
    assert record["url"] == server.url
    assert record["pid"] == server.process.pid


def test_the_second_on_a_workspace_finds_the_first_and_leaves_it_alone(server):
    second = MLflowServer(server.workspace).start().wait()
    assert second.url == server.url
    assert not second.is_owner
    second.stop()
    assert server.process.poll() is None
    assert (server.workspace / "mlflow.json").exists()


USER = """
import os, signal, sys
from pathlib import Path
from foreknow.track.server import MLflowServer
server = MLflowServer(Path(sys.argv[1])).start()
print(server.url, server.is_owner, flush=True)
sys.stdin.read()
"""


def test_the_last_user_stops_it_even_if_killed(tmp_path):
    """The port is taken, so it takes the next; its starter leaves first; its last user is killed, and has a guard."""
    with listening() as taken:
        first = MLflowServer(tmp_path, port=taken).start()
    assert first.port > taken
    other = subprocess.Popen(
        [sys.executable, "-c", USER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline().split() == [first.url, "False"]
        pid = first.process.pid
        first.stop()
        assert psutil.pid_exists(pid), "the other one still uses it"
        os.kill(other.pid, signal.SIGKILL)
        wait_until(lambda: not (tmp_path / "mlflow.json").exists())
        wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    finally:
        other.kill()
        other.communicate()
        first.stop()


def test_a_server_that_cannot_start_shows_its_log(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database")
    server = MLflowServer(tmp_path, port=5400).start()
    try:
        with pytest.raises(TrackingError, match="the MLflow server ended with status 1") as caught:
            server.wait()
        assert "file is not a database" in str(caught.value)
        assert f"the whole log is in '{tmp_path / 'mlflow.log'}'" in str(caught.value)
    finally:
        server.stop()


def test_somebody_elses_server_is_not_taken_for_ones_own(tmp_path, noting):
    """Two workspaces may choose the same port at the same moment; the quicker one gets it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        server = MLflowServer(tmp_path)
        server.url, server.port, server.process = noting.url, noting.server_address[1], process
        started = psutil.Process(process.pid).create_time()
        record = {"pid": process.pid, "started": started, "url": noting.url}
        (tmp_path / "mlflow.json").write_text(json.dumps(record))
        with pytest.raises(TrackingError, match="doesn't answer after 0 s"):
            server.wait(timeout=0.4)
        record = {**this_process(), "url": noting.url}
        (tmp_path / "mlflow.json").write_text(json.dumps(record))
        server.wait(timeout=5)
    finally:
        process.communicate(b"\n")


def test_a_record_of_a_dead_or_unreadable_server_is_ignored(tmp_path, monkeypatch):
    spawned = []
    monkeypatch.setattr(MLflowServer, "_spawn", lambda self: spawned.append(self))
    for text in ("{", "[]", '{"pid": 1}', json.dumps({"pid": os.getpid(), "started": 0, "url": "http://x"})):
        (tmp_path / "mlflow.json").write_text(text)
        MLflowServer(tmp_path).start().stop()
    assert len(spawned) == 4


def test_starting_and_stopping_twice_is_once(server):
    second = MLflowServer(server.workspace).start()
    assert second.start() is second
    second.stop()
    second.stop()


def test_free_port_passes_over_taken_ones():
    with listening() as taken:
        assert free_port(taken) > taken
    assert free_port(taken) == taken


def test_a_process_number_used_again_is_another_process():
    me = psutil.Process()
    assert is_same_process(me.pid, me.create_time())
    assert not is_same_process(me.pid, me.create_time() - 60)
    assert not is_same_process(2**22 + 1, me.create_time())


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_group_is_ended_children_first_asked_then_killed():
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    child = int(process.stdout.readline())
    stop_group(process.pid, grace_s=0.3)
    assert process.wait(timeout=10) == -signal.SIGKILL
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    stop_group(process.pid)  # gone already
    process.stdout.close()


def store(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_database_whose_server_was_killed_while_making_it_is_made_anew(tmp_path):
    store(tmp_path / "mlflow.db", "CREATE TABLE experiments (x)", "CREATE TABLE runs (x)")
    (tmp_path / "mlflow.db-journal").touch()
    _drop_unborn_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("table", ["runs", "registered_models"])
def test_a_database_that_holds_anything_stays(tmp_path, table):
    store(tmp_path / "mlflow.db", f"CREATE TABLE {table} (x)", f"INSERT INTO {table} VALUES (1)")
    _drop_unborn_store(tmp_path)
    assert (tmp_path / "mlflow.db").exists()


def test_a_database_whose_server_has_answered_stays(tmp_path):
    store(tmp_path / "mlflow.db", "CREATE TABLE runs (x)")
    (tmp_path / BORN).touch()
    _drop_unborn_store(tmp_path)
    (tmp_path / BORN).unlink()
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    _drop_unborn_store(tmp_path)
    assert (tmp_path / "mlflow.db").exists()
