"""The HTTP application: routes, each one call of the engine.

What is asked often (health, jobs, logs) is answered in the event loop, in fractions of a millisecond; what computes or
writes goes to threads, so a client that is slow, or asks for much, holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from foreknow.engine.engine import Engine
from foreknow.service.access import Access
from foreknow.service.errors import add_handlers
from foreknow.service.page import api_page

__all__ = ["create_app"]

POLL_S = 0.2
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobRequest(_Request):
    """A job to be done."""

    kind: str = Field(description="train, predict, train_predict or evaluate", examples=["train"])
    spec: dict[str, Any] = Field(
        default_factory=dict, description="What it is told; see docs/engine.md", examples=[{"task": "Churn"}]
    )
    priority: int = Field(default=0, description="Higher ones first")
    timeout_s: float | None = Field(default=None, description="Seconds it may run")


class RetryRequest(_Request):
    """How to try again."""

    fresh: bool = Field(default=False, description="Start from the beginning instead of the last checkpoint")


class PreviewRequest(_Request):
    """A task to be looked at."""

    task: str = Field(description="Name of a task of the project, or of the new one")
    definition: str | dict[str, Any] | None = Field(
        default=None, description="A predictive query, or what stands under tasks: NAME:"
    )


class ProposalRequest(_Request):
    """A database whose schema is to be proposed."""

    project: str = Field(description="A database, folder of files or project file, within reach of requests")


class ModelRequest(_Request):
    """A run whose model is to be registered."""

    name: str
    run_id: str
    alias: str | None = None


def create_app(
    engine: Engine,
    *,
    token: str | None = None,
    hosts: Collection[str] = ("127.0.0.1", "localhost", "::1"),
    origins: Collection[str] = (),
    **limits: Any,
) -> Access:
    """The application over an engine.

    Args:
        engine: Answers.
        token: Demanded from clients if given.
        hosts: Names the server may be called by.
        origins: Further web origins that may use it.
        **limits: See `Access`.
    """
    app = FastAPI(
        title="Foreknow engine",
        version=version("foreknow"),
        summary="Jobs, schemas, tasks, runs, models and predictions of one project.",
        docs_url=None,  # the framework's page loads scripts from outside
        redoc_url=None,
    )
    add_handlers(app)
    _add_pages(app)
    _add_project(app, engine)
    _add_jobs(app, engine)
    _add_results(app, engine)
    return Access(app, token=token, hosts=hosts, origins=origins, **limits)


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(api_page(app.openapi()), headers={"Content-Security-Policy": POLICY})


def _add_project(app: FastAPI, engine: Engine) -> None:
    @app.get("/v1/health", tags=["engine"], summary="How the engine is; needs no token")
    async def health() -> dict[str, Any]:
        return engine.health()

    @app.get("/v1/source", tags=["project"], summary="Tables and columns of the source")
    def source() -> dict[str, Any]:
        return engine.source()

    @app.get("/v1/schema", tags=["project"], summary="What the tables mean, with counts, remarks and a picture")
    def schema() -> dict[str, Any]:
        return engine.schema()

    @app.get("/v1/schema.svg", tags=["project"], summary="The schema as a picture", response_class=Response)
    def picture() -> Response:
        return Response(engine.schema()["svg"], media_type="image/svg+xml", headers={"Content-Security-Policy": POLICY})

    @app.post("/v1/schema/proposals", tags=["project"], summary="Propose a schema for another database")
    def proposal(request: ProposalRequest) -> dict[str, Any]:
        return engine.schema(request.project)

    @app.get("/v1/tasks", tags=["project"], summary="Tasks of the project")
    def tasks() -> list[dict[str, Any]]:
        return engine.tasks()

    @app.post("/v1/tasks/preview", tags=["project"], summary="Rows, seed times and labels per split")
    def preview(request: PreviewRequest) -> dict[str, Any]:
        return engine.preview(request.task, request.definition)


def _add_jobs(app: FastAPI, engine: Engine) -> None:
    @app.post("/v1/jobs", tags=["jobs"], summary="Submit a job", status_code=201)
    def submit(request: JobRequest) -> dict[str, Any]:
        return engine.submit(request.kind, request.spec, priority=request.priority, timeout_s=request.timeout_s)

    @app.get("/v1/jobs", tags=["jobs"], summary="Jobs, newest first")
    async def jobs(
        status: Annotated[list[str] | None, Query(description="Only these")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        return engine.jobs(statuses=status or (), limit=limit)

    @app.get("/v1/jobs/{job_id}", tags=["jobs"], summary="Where a job stands, and its result")
    async def job(job_id: str) -> dict[str, Any]:
        return engine.job(job_id)

    @app.post("/v1/jobs/{job_id}/cancel", tags=["jobs"], summary="Cancel a job; its checkpoint is kept")
    def cancel(job_id: str) -> dict[str, Any]:
        return engine.cancel(job_id)

    @app.post("/v1/jobs/{job_id}/retry", tags=["jobs"], summary="Put a failed or canceled job into the queue again")
    def retry(job_id: str, request: RetryRequest | None = None) -> dict[str, Any]:
        return engine.retry(job_id, fresh=request is not None and request.fresh)

    @app.get("/v1/jobs/{job_id}/log", tags=["jobs"], summary="A job's log as text", response_class=StreamingResponse)
    async def log(
        job_id: str,
        offset: Annotated[int, Query(ge=0, description="Byte to begin at")] = 0,
        follow: Annotated[bool, Query(description="Go on until the job has ended")] = False,
    ) -> StreamingResponse:
        engine.log(job_id)  # an unknown job is an error before the answer has begun
        return StreamingResponse(_stream(engine, job_id, offset, follow), media_type="text/plain; charset=utf-8")


def _add_results(app: FastAPI, engine: Engine) -> None:
    @app.get("/v1/runs", tags=["results"], summary="Trainings, newest first")
    def runs() -> list[dict[str, Any]]:
        return engine.runs()

    @app.get("/v1/runs/{run_id}", tags=["results"], summary="A training")
    def run(run_id: str) -> dict[str, Any]:
        return engine.run(run_id)

    @app.get("/v1/models", tags=["results"], summary="Versions of registered models")
    def models() -> list[dict[str, Any]]:
        return engine.models()

    @app.post("/v1/models", tags=["results"], summary="Register a run's model", status_code=201)
    def register(request: ModelRequest) -> dict[str, Any]:
        return engine.register(request.name, request.run_id, alias=request.alias)

    @app.get("/v1/predictions", tags=["results"], summary="Prediction tables")
    def predictions() -> list[dict[str, Any]]:
        return engine.predictions()

    @app.get("/v1/predictions/{name:path}", tags=["results"], summary="Rows of a prediction table")
    def prediction_rows(
        name: str,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> list[dict[str, Any]]:
        return engine.prediction_rows(name, offset=offset, limit=limit)


async def _stream(engine: Engine, job_id: str, offset: int, follow: bool) -> AsyncIterator[str]:
    """A log in pieces. A client that reads slowly is waited for here, and nowhere else."""
    while True:
        piece = engine.log(job_id, offset)
        offset = piece["offset"]
        if piece["text"]:
            yield piece["text"]
        elif piece["is_last"] or not follow:
            return
        else:
            await asyncio.sleep(POLL_S)
