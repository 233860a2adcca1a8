"""The guard does what a killed process can't, and nothing if it was dismissed."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from foreknow.track.guard import Guard, close_run, stand_guard


def wait_until(fact, timeout=20):
    end = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.05)


def test_open_runs_are_closed_as_killed_when_the_pipe_closes(noting):
    noting.runs = {"a": "RUNNING", "b": "RUNNING", "c": "FINISHED", "d": "RUNNING"}
    told = [f'{{"run": "{r}", "url": "{noting.url}"}}\n'.encode() for r in "abc"]
    stand_guard([*told, b'{"closed": "b"}\n'])
    assert noting.runs == {"a": "KILLED", "b": "RUNNING", "c": "FINISHED", "d": "RUNNING"}


def test_a_dismissed_guard_does_nothing(noting):
    noting.runs = {"a": "RUNNING"}
    stand_guard([f'{{"run": "a", "url": "{noting.url}"}}\n'.encode(), b'{"dismissed": true}\n'])
    assert noting.runs == {"a": "RUNNING"}


def test_half_a_word_is_no_order(noting):
    """A process may be killed while it writes."""
    noting.runs = {"a": "RUNNING"}
    stand_guard([f'{{"run": "a", "url": "{noting.url}"}}\n'.encode(), b'{"clos'])
    assert noting.runs == {"a": "KILLED"}


def test_a_deleted_run_needs_no_closing(noting):
    assert close_run(noting.url, "unknown")


def test_a_server_that_is_gone_is_given_up(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert not close_run("http://127.0.0.1:9", "a", attempts=2)


@pytest.mark.parametrize(
    ("address", "environment", "header"),
    [
        ("", {}, None),
        ("me:secret@", {}, "Basic bWU6c2VjcmV0"),
        ("", {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "secret"}, "Basic bWU6c2VjcmV0"),
        ("", {"MLFLOW_TRACKING_TOKEN": "t0k"}, "Bearer t0k"),
    ],
)
def test_it_shows_the_credentials_mlflow_would(noting, monkeypatch, address, environment, header):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    noting.runs = {"a": "RUNNING"}
    assert close_run(noting.url.replace("http://", f"http://{address}"), "a")
    assert {authorization for _, _, authorization in noting.asked} == {header}
    assert noting.runs == {"a": "KILLED"}


KILLED = """
import os, signal, sys
from foreknow.track.guard import Guard
guard = Guard()
guard.watch_run(sys.argv[1], "a")
print(guard._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_running_run(noting):
    noting.runs = {"a": "RUNNING"}
    url = noting.url.replace("http://", "http://me:secret@")
    done = subprocess.run([sys.executable, "-c", KILLED, url], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: noting.runs == {"a": "KILLED"})
    wait_until(lambda: not psutil.pid_exists(int(done.stdout)))


def test_what_it_is_told_is_not_on_its_command_line():
    guard = Guard()
    try:
        guard.watch_run("http://me:secret@example.org", "a")
        assert "secret" not in " ".join(psutil.Process(guard._process.pid).cmdline())
    finally:
        guard.dismiss()


def test_it_goes_when_dismissed_and_can_be_dismissed_twice():
    guard = Guard()
    guard.dismiss()
    guard.dismiss()
    guard.watch_run("http://127.0.0.1:9", "a")
    assert guard._process.returncode == 0


def test_work_goes_on_if_somebody_ends_the_guard():
    guard = Guard()
    os.kill(guard._process.pid, signal.SIGKILL)
    guard._process.wait()
    guard.watch_run("http://127.0.0.1:9", "a")
    guard.dismiss()
