"""Errors as answers: the same text a local user reads, with a status from one table."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from foreknow.errors import (
    AccessError,
    ConfigError,
    EngineError,
    Finding,
    ForeknowError,
    JobError,
    MissingExtraError,
    PredictionError,
    QueryError,
    ResourceError,
    SamplingError,
    SchemaError,
    SinkError,
    SourceError,
    StoreError,
    TaskError,
    TrackingError,
    TrainingError,
    UnknownJobError,
    UnknownModelError,
)

__all__ = ["STATUS", "add_handlers", "answer", "status_of"]

STATUS: tuple[tuple[type[ForeknowError], int], ...] = (
    (UnknownJobError, 404),
    (UnknownModelError, 404),
    (AccessError, 403),
    (ConfigError, 400),
    (SchemaError, 422),
    (SourceError, 422),
    (TaskError, 422),
    (QueryError, 422),
    (SamplingError, 422),
    (TrainingError, 422),
    (PredictionError, 422),
    (SinkError, 409),
    (JobError, 409),
    (ResourceError, 507),
    (MissingExtraError, 501),
    (TrackingError, 502),
    (EngineError, 503),
    (StoreError, 500),
)
"""HTTP status by class of error; the first that fits."""


def status_of(error: ForeknowError) -> int:
    """The HTTP status of an error of ours."""
    return next((status for cls, status in STATUS if isinstance(error, cls)), 500)


def answer(error: ForeknowError, status: int | None = None) -> JSONResponse:
    """An error as ``{"error": {"type", "message", "hint", "findings"}}``."""
    return JSONResponse({"error": error.to_dict()}, status_code=status or status_of(error))


def add_handlers(app: FastAPI) -> None:
    """Answer every error in this form, the framework's own and bugs of ours too."""
    app.add_exception_handler(ForeknowError, _ours)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(Exception, _bug)


def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ForeknowError)
    return answer(error)


def _not_understood(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    findings = [_finding(e) for e in error.errors()]
    text = "the request is not understood:\n" + "\n".join(f"- {f}" for f in findings)
    return answer(ConfigError(text, findings=findings))


def _finding(error: dict[str, Any]) -> Finding:
    where, *path = map(str, error["loc"])
    at = ".".join(path) or where
    if error["type"] == "extra_forbidden":
        return Finding(name="unknown-field", message=f"{at}: unknown field")
    if error["type"] == "missing":
        return Finding(name="missing-field", message=f"{at} is missing")
    return Finding(name="bad-value", message=f"{at}: {error['msg'].lower()}")


def _framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hint = "the page at / lists what there is" if error.status_code in (404, 405) else None
    text = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
    return answer(EngineError(text, hint=hint), error.status_code)


def _bug(request: Request, error: Exception) -> JSONResponse:
    return answer(
        EngineError(f"{type(error).__name__}: {error}", hint="a bug in foreknow; the engine's log has more"), 500
    )
