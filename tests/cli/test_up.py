"""``foreknow up`` as a process of its own, with MLflow elsewhere, and (slow) with its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from foreknow.engine.engine import find_engine
from foreknow.testing.engines import NOWHERE, until


def start(project, *options, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FOREKNOW", "MLFLOW"))} | environment
    command = [sys.executable, "-m", "foreknow", "up", "--project", str(project), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def health(project):
    record = find_engine(project / ".foreknow")
    if record is None or record["address"] is None:
        return None
    try:
        with urllib.request.urlopen(record["address"] + "/v1/health", timeout=5) as answer:
            return json.load(answer) | record
    except OSError:
        return None


def test_up_says_where_it_is_takes_the_next_free_port_and_ends_with_ctrl_c(toy):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(toy, "--port", str(port), MLFLOW_TRACKING_URI=NOWHERE)
        found = until(lambda: health(toy), 60)
        assert found["pid"] == process.pid
        until(lambda: found["mlflow"]["is_ready"] or health(toy)["mlflow"]["is_ready"], 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"engine  {found['address']}" in out
    assert f"port {port} is taken: the engine uses {found['address'].rpartition(':')[2]}" in err
    assert "jobs that run go on when the engine is next up" in err
    assert find_engine(toy / ".foreknow") is None


@pytest.mark.slow
def test_up_in_the_background_with_mlflow_then_down(toy):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FOREKNOW", "MLFLOW"))}

    def run(*words):
        command = [sys.executable, "-m", "foreknow", *words, "--project", str(toy)]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)

    up = run("up", "--detach", "--json", "--mlflow-port", "5480")
    try:
        assert up.returncode == 0, up.stderr
        told = json.loads(up.stdout)
        with urllib.request.urlopen(told["mlflow"]["url"] + "/health", timeout=5) as answer:
            assert answer.status == 200
        done = run("jobs", "submit", "train_predict", "task=Buys", "into=PREDICTIONS_BUYS", "--follow", "--json")
        assert json.loads(done.stdout)["status"] == "COMPLETED", done.stderr
        assert run("status").returncode == 0
    finally:
        down = run("down")
    assert "the engine is down" in down.stdout
    assert find_engine(toy / ".foreknow") is None
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(told["mlflow"]["url"] + "/health", timeout=5)
