"""What a client can rely on, whichever way it speaks to the engine."""

import json
import threading
import time

import pytest

from foreknow.client import Client
from foreknow.errors import (
    AccessError,
    ConfigError,
    JobError,
    JobTimeoutError,
    QueryError,
    SinkError,
    TaskError,
    UnknownJobError,
    UnknownModelError,
)

FAST = {"progress": False}


def fake(client, do=None, **options):
    return client.train("Buys", definition=do or {}, **options)


def test_a_job_is_submitted_waited_for_and_gives_its_result(client):
    job = fake(client, {"say": "hello"}, epochs=3)
    assert job.status in ("QUEUED", "RUNNING")
    assert job.wait(30, **FAST) is job
    assert (job.status, job.result["did"]) == ("COMPLETED", "hello")
    assert list(job.logs()) == ["hello"]
    assert job.values["spec"]["parameters"] == {"epochs": 3}
    assert client.job(job.id[:8]).values == job.values


def test_logs_are_followed_while_they_are_written(client):
    job = fake(client, {"say": "first", "sleep": 0.5})
    lines = job.logs(follow=True)
    assert next(lines) == "first"
    assert job.refresh().status == "RUNNING"
    assert list(lines) == []
    assert job.wait(30, **FAST).status == "COMPLETED"


def test_a_failed_job_raises_the_error_a_local_user_gets(client):
    job = fake(client, {"error": "there is no column 'prise'"}).wait(30, **FAST)
    with pytest.raises(TaskError, match=r"^there is no column 'prise'\nHint: mend it$") as caught:
        _ = job.result
    assert caught.value.hint == "mend it"


def test_waiting_ends_after_the_time_given_and_the_job_goes_on(client):
    job = fake(client, {"sleep": 30})
    began = time.monotonic()
    with pytest.raises(JobTimeoutError, match=r"after 0\.5 s\nHint: it goes on"):
        job.wait(0.5, **FAST)
    assert time.monotonic() - began < 5
    with pytest.raises(TimeoutError):
        job.wait(0, **FAST)
    with pytest.raises(JobError, match=r"has no result: it is (QUEUED|RUNNING)\nHint: wait\(\) first"):
        _ = job.result
    assert job.cancel().wait(20, **FAST).status == "CANCELED"
    with pytest.raises(JobError, match=r"it is CANCELED\nHint: retry\(\)"):
        _ = job.result


def test_a_canceled_job_can_be_retried(client):
    first, second = fake(client, {"sleep": 30}), fake(client, {"say": "ok"})
    assert second.cancel().status == "CANCELED"
    with pytest.raises(JobError, match="has ended: CANCELED"):
        second.cancel()
    second.retry()
    first.cancel()
    assert second.wait(30, **FAST).result["did"] == "ok"
    with pytest.raises(JobError, match="it is COMPLETED"):
        second.retry(fresh=True)


def test_jobs_are_listed_newest_first(client):
    jobs = [fake(client), fake(client, priority=3)]
    for job in jobs:
        job.wait(30, **FAST)
    assert [j["id"] for j in client.jobs()] == [jobs[1].id, jobs[0].id]
    assert [j["id"] for j in client.jobs(statuses=["COMPLETED"], limit=1)] == [jobs[1].id]
    assert list(client.jobs(statuses=["FAILED", "QUEUED"])) == []


def test_the_project_can_be_looked_at(client):
    assert {t["name"] for t in client.source()["tables"]} == {"customers", "articles", "transactions"}
    assert [t["name"] for t in client.tasks()] == ["Buys"]
    schema = client.schema()
    assert schema.values["row_counts"] == {"customers": 4, "articles": 3, "transactions": 11}
    assert schema._repr_svg_().lstrip().startswith(("<?xml", "<svg", "<!DOCTYPE"))
    assert "customers" in repr(schema)
    assert "key: customer_id" in schema.yaml
    preview = client.preview("Buys")
    assert [(s["split"], s["rows"]) for s in preview.splits] == [("train", 3), ("validation", 3), ("test", 2)]
    assert "<table>" in preview._repr_html_()
    assert "validation" in repr(preview)


QUERY = "PREDICT COUNT(transactions.*, 0, 20, days) > 0 FOR EACH customers.customer_id"


def test_a_task_can_be_a_question(client):
    preview = client.preview("Again", QUERY)
    assert [s["split"] for s in preview.splits] == ["train", "validation", "test"]
    assert preview.values["task"]["type"] == "binary_classification"
    assert "SELECT" in preview.values["sql"]["train"]
    assert preview.values["explanation"][0] in repr(preview)
    job = client.train("Again", definition=QUERY)
    assert job.values["spec"]["definition"] == QUERY
    job.cancel()
    with pytest.raises(QueryError, match="at line 1, column") as caught:
        client.preview("Again", QUERY.replace("COUNT", "COUNTT"))
    assert (caught.value.line, caught.value.code is not None) == (1, True)


def test_results_are_listed(client):
    assert list(client.runs()) == []
    assert list(client.predictions()) == []
    assert client.health()["jobs"]["RUNNING"] == 0


ERRORS = {
    "unknown job": (lambda c: c.job("feedbeef"), UnknownJobError, "there is no job 'feedbeef'"),
    "odd job": (lambda c: c.job("../../etc"), UnknownJobError, r"there is no job '\.\./\.\./etc'"),
    "unknown kind": (lambda c: c.submit("tune"), ConfigError, "there is no job kind 'tune'"),
    "unknown field": (lambda c: c.predict("P", rum_id="x", run_id="y"), ConfigError, "did you mean 'run_id'"),
    "unknown parameter": (lambda c: c.train("Buys", epoch=3), ConfigError, "did you mean 'epochs'"),
    "unknown task": (lambda c: c.preview("Byus"), ConfigError, "did you mean 'Buys'"),
    "unknown run": (lambda c: c.run("feedbeef"), UnknownModelError, "there is no run 'feedbeef'"),
    "unknown predictions": (lambda c: c.prediction_rows("P/Q"), SinkError, "there are no predictions 'P/Q'"),
    "path": (lambda c: c.schema("/etc"), AccessError, "outside of the project"),
    "status": (lambda c: c.jobs(statuses=["DONE"]), ConfigError, "there is no status 'DONE'"),
}


@pytest.mark.parametrize(("ask", "error", "text"), ERRORS.values(), ids=ERRORS)
def test_errors_have_the_same_class_and_text(client, ask, error, text):
    with pytest.raises(error, match=text) as caught:
        ask(client)
    assert type(caught.value) is error
    if caught.value.hint:
        assert str(caught.value).endswith(f"Hint: {caught.value.hint}") or caught.value.findings


def test_both_say_exactly_the_same(engine, remote):
    local = Client(operations=engine)
    job = fake(local, {"say": "x"}).wait(30, **FAST)
    assert remote.job(job.id).values == local.job(job.id).values
    for ask in ("jobs", "tasks", "runs", "predictions"):
        assert list(getattr(remote, ask)()) == list(getattr(local, ask)())
    assert remote.schema().values == local.schema().values
    assert remote.preview("Buys").values == local.preview("Buys").values
    for ask, _, _ in ERRORS.values():
        texts = []
        for client in (local, remote):
            with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is tested above
                ask(client)
            texts.append((type(caught.value), str(caught.value), caught.value.hint, caught.value.findings))
        assert texts[0] == texts[1]


def test_a_log_goes_on_where_it_was_when_the_engine_is_away_for_a_moment(engine, remote, server, monkeypatch):
    from foreknow.service.app import create_app
    from foreknow.service.server import HTTPServer, listen

    job = fake(remote, {"say": "before", "sleep": 1.5})
    lines = job.logs(follow=True)
    assert next(lines) == "before"
    port = int(server.address.rpartition(":")[2])
    server.stop()
    engine._folder(job.id).append("after")
    again = HTTPServer(create_app(engine, token="a-token-of-some-length"), listen(port=port)).start()
    try:
        assert again.address == server_address(port)
        assert list(lines) == ["after"]
    finally:
        again.stop()


def server_address(port):
    return f"http://127.0.0.1:{port}"


def test_many_followers_hold_up_nobody(remote, engine):
    job = fake(remote, {"say": "x", "sleep": 2})
    threads = [threading.Thread(target=lambda: list(job.logs(follow=True)), daemon=True) for _ in range(60)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert remote.health()["status"] == "ok"
    assert time.monotonic() - began < 2
    job.wait(30, **FAST)
    for t in threads:
        t.join(20)
        assert not t.is_alive()


def test_everything_a_client_shows_is_plain(client):
    job = fake(client).wait(30, **FAST)
    assert json.loads(json.dumps(job.values)) == job.values
