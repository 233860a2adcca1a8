"""Routes, errors, and the page that explains them."""

import re

import pytest

from foreknow import errors
from foreknow.engine.engine import Engine
from foreknow.errors import ForeknowError, error_from_dict
from foreknow.service.errors import STATUS, status_of

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ForeknowError)]


def test_a_job_goes_in_and_can_be_asked_for(http):
    made = http.post("/v1/jobs", json={"kind": "train", "spec": {"task": "Buys"}, "priority": 2})
    assert (made.status_code, made.json()["status"], made.json()["priority"]) == (201, "QUEUED", 2)
    job_id = made.json()["id"]
    assert http.get(f"/v1/jobs/{job_id}").json() == made.json()
    assert [j["id"] for j in http.get("/v1/jobs?status=QUEUED&limit=5").json()] == [job_id]
    assert http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "CANCELED"
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409
    assert http.post(f"/v1/jobs/{job_id}/retry").json()["status"] == "QUEUED"
    log = http.get(f"/v1/jobs/{job_id}/log")
    assert (log.status_code, log.text, log.headers["content-type"]) == (200, "", "text/plain; charset=utf-8")


def test_the_picture_of_the_schema_is_a_picture(http):
    answer = http.get("/v1/schema.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in answer.text
    assert "script" not in answer.headers["content-security-policy"]


ASKED = {
    "unknown path": ("GET", "/v1/nothing", None, 404, "EngineError"),
    "wrong method": ("DELETE", "/v1/jobs", None, 405, "EngineError"),
    "unknown job": ("GET", "/v1/jobs/feedbeef", None, 404, "UnknownJobError"),
    "log of an unknown job": ("GET", "/v1/jobs/feedbeef/log?follow=true", None, 404, "UnknownJobError"),
    "unknown kind": ("POST", "/v1/jobs", {"kind": "trian"}, 400, "ConfigError"),
    "unknown field": ("POST", "/v1/jobs", {"kind": "train", "prio": 1}, 400, "ConfigError"),
    "missing field": ("POST", "/v1/jobs", {}, 400, "ConfigError"),
    "no object": ("POST", "/v1/jobs", [1], 400, "ConfigError"),
    "wrong type": ("GET", "/v1/jobs?limit=many", None, 400, "ConfigError"),
    "too many": ("GET", "/v1/jobs?limit=100000", None, 400, "ConfigError"),
    "path": ("POST", "/v1/schema/proposals", {"project": "/etc"}, 403, "AccessError"),
    "unknown run": ("GET", "/v1/runs/feedbeef", None, 404, "UnknownModelError"),
    "odd run": ("GET", "/v1/runs/..%2F..%2Fx", None, 404, None),
    "unknown predictions": ("GET", "/v1/predictions/P", None, 409, "SinkError"),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "kind"), ASKED.values(), ids=ASKED)
def test_errors_are_json_with_a_status_that_fits(http, method, path, body, status, kind):
    answer = http.request(method, path, json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"type", "message", "hint", "findings"}
    assert error["message"]
    assert kind is None or error["type"] == kind


def test_no_json_is_told(http):
    answer = http.post("/v1/jobs", content=b"{oops", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "ConfigError")


def test_a_bug_is_told_as_one(ask, monkeypatch):
    def broken(self):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Engine, "tasks", broken)
    answer = ask().get("/v1/tasks")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].startswith("ZeroDivisionError: oops\nHint: a bug in foreknow")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_error_of_ours_has_a_status_and_comes_back_as_itself(cls):
    error = cls("package", "extra") if cls is errors.MissingExtraError else cls("it is broken", hint="mend it")
    assert 400 <= status_of(error) < 600
    if cls is not ForeknowError:
        assert any(issubclass(cls, known) for known, _ in STATUS), "named in the table"
    again = error_from_dict(error.to_dict())
    assert type(again) is cls
    assert (str(again), again.hint) == (str(error), error.hint)


def test_subclasses_come_before_their_bases_in_the_table():
    for i, (cls, _) in enumerate(STATUS):
        assert not any(issubclass(cls, earlier) for earlier, _ in STATUS[:i])


def test_an_error_of_python_comes_back_as_one_of_ours():
    again = error_from_dict({"type": "ZeroDivisionError", "message": "oops"})
    assert type(again) is errors.EngineError
    assert str(again) == "ZeroDivisionError: oops"


def test_the_page_tells_every_operation_and_loads_nothing(http):
    page = http.get("/")
    description = http.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        assert f"<code>{path}</code>" in page.text
        for operation in methods.values():
            assert operation["summary"] in page.text.replace("&#x27;", "'")
    assert "<script" not in page.text
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert http.get("/docs").status_code == 404
