"""``foreknow jobs``: with an engine that runs, and with none."""

import re
import signal

import pytest

from foreknow.engine.engine import Engine
from foreknow.engine.executor import LocalExecutor
from foreknow.service.app import create_app
from foreknow.service.server import HTTPServer, listen
from foreknow.testing.engines import NOWHERE, ended, submit_fake
from foreknow.testing.fake_worker import fake_command


@pytest.fixture
def here(toy, monkeypatch):
    """The toy project is the working directory."""
    monkeypatch.chdir(toy)
    monkeypatch.delenv("FOREKNOW_HOME", raising=False)
    monkeypatch.delenv("FOREKNOW_TOKEN", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    return toy


@pytest.fixture
def engine(here):
    """An engine that runs, and can be reached."""
    executor = LocalExecutor(here / ".foreknow", command=fake_command)
    made = Engine(here, tracking_uri=NOWHERE, executor=executor, grace_s=1.0)
    server = HTTPServer(create_app(made), listen(port=0)).start()
    made.start(address=server.address)
    yield made
    server.stop()
    made.close()


def test_a_job_is_submitted_followed_and_shown(engine, foreknow):
    done = foreknow("jobs", "submit", "train", "task=Buys", "definition={say: hello}", "parameters.epochs=3", "-f")
    assert done.status == 0
    assert "hello" in done.err
    assert re.search(r"job \w{12}, train: COMPLETED", done.out)
    assert "task: Buys" in done.out
    assert "parameters: {'epochs': 3}" in done.out
    (job,) = foreknow("jobs", "list", "--json").json["jobs"]
    assert (job["status"], job["spec"]["parameters"]) == ("COMPLETED", {"epochs": 3})
    assert job["id"] in foreknow("jobs", "list").out
    assert foreknow("jobs", "show", job["id"][:6], "--json").json["result"]["did"] == "hello"
    assert foreknow("jobs", "logs", job["id"]).out == "hello\n"


def test_a_failed_job_is_shown_with_the_reason(engine, foreknow):
    job_id = submit_fake(engine, {"error": "there is no column 'prise'"})
    ended(engine, job_id)
    done = foreknow("jobs", "show", job_id)
    assert "FAILED: there is no column 'prise'" in done.out
    assert "Hint: mend it" in done.err


def test_jobs_are_canceled_and_retried(engine, foreknow):
    job_id = submit_fake(engine, {"sleep": 60})
    assert foreknow("jobs", "cancel", job_id).status == 0
    assert ended(engine, job_id)["status"] == "CANCELED"
    again = foreknow("jobs", "cancel", job_id)
    assert (again.status, f"job '{job_id}' has ended: CANCELED" in again.err) == (2, True)
    assert foreknow("jobs", "retry", job_id, "--fresh", "--json").json["status"] in ("QUEUED", "RUNNING")
    assert foreknow("jobs", "list", "--status", "canceled").out.startswith("no jobs")
    engine.cancel(job_id)


def test_without_an_engine_jobs_wait_and_can_be_seen(here, foreknow):
    done = foreknow("jobs", "submit", "train", "task=Buys", "--priority", "3")
    assert (done.status, "the job waits for one: foreknow up" in done.err) == (0, True)
    (job,) = foreknow("jobs", "list", "--json").json["jobs"]
    assert (job["status"], job["priority"]) == ("QUEUED", 3)
    assert foreknow("jobs", "cancel", job["id"][:5]).out == f"job {job['id']} is canceled\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit", "trian"), "did you mean 'train'"),
        (("submit", "train", "task"), "write NAME=VALUE"),
        (("submit", "train", "tsak=Buys"), "did you mean 'task'"),
        (("show", "feedbeef"), "there is no job 'feedbeef'"),
        (("list", "--status", "done"), "there is no status 'DONE'"),
    ],
)
def test_mistakes_are_told(here, foreknow, arguments, told):
    done = foreknow("jobs", *arguments)
    assert (done.status, told in done.err) == (2, True)


def test_the_engine_is_described(engine, foreknow):
    done = foreknow("status", "--json")
    assert (done.json["status"], done.json["jobs"]["RUNNING"]) == ("ok", 0)
    assert f"MLflow  {NOWHERE}" in foreknow("status").out


def test_without_an_engine_status_and_down_say_so(here, foreknow):
    for command in ("status", "down"):
        done = foreknow(command)
        assert (done.status, "no engine runs on" in done.err) == (1, True)


def test_up_refuses_a_second_engine_and_an_open_door(engine, foreknow):
    handler = signal.getsignal(signal.SIGINT)
    second = foreknow("up")
    assert signal.getsignal(signal.SIGINT) == handler
    assert (second.status, "already at http://127.0.0.1:" in second.err) == (1, True)
    assert "already at http://127.0.0.1:" in foreknow("up", "--detach").err
    open_door = foreknow("up", "--host", "0.0.0.0")
    assert (open_door.status, "set FOREKNOW_TOKEN" in open_door.err) == (2, True)
