"""An engine over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx2

from foreknow.errors import ConfigError, EngineError, UnknownJobError, error_from_dict

__all__ = ["HTTPOperations"]

TIMEOUT_S = 30.0
SLOW_TIMEOUT_S = 600.0  # schemas and previews read tables
PATIENCE_S = 20.0  # how long a log that is followed waits for an engine that is being started again
PAUSE_S = 0.5
ENDED = ("COMPLETED", "FAILED", "CANCELED")


class HTTPOperations:
    """A connection to an engine; fulfils `Operations`.

    Args:
        url: Its address.
        token: Its token, if it demands one.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{url}' is no address of an engine", hint="write e.g. http://127.0.0.1:8770")
        self.url = url.rstrip("/")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        is_local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        # a proxy for the world outside must not be asked for this machine's own engine
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=not is_local)

    def close(self) -> None:
        """Close the connection; the engine goes on."""
        self._http.close()

    # --- the engine and its project -------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("GET", "/v1/health")

    def source(self) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("GET", "/v1/source")

    def schema(self, project: str | None = None) -> dict[str, Any]:
        """See `Operations`."""
        if project is None:
            return self._object("GET", "/v1/schema", timeout_s=SLOW_TIMEOUT_S)
        return self._object("POST", "/v1/schema/proposals", body={"project": project}, timeout_s=SLOW_TIMEOUT_S)

    def tasks(self) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list("/v1/tasks")

    def preview(self, task: str, definition: str | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """See `Operations`."""
        body = {"task": task, "definition": definition}
        return self._object("POST", "/v1/tasks/preview", body=body, timeout_s=SLOW_TIMEOUT_S)

    # --- jobs -----------------------------------------------------------------------------------------------

    def submit(
        self, kind: str, spec: Mapping[str, Any], *, priority: int = 0, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """See `Operations`."""
        body = {"kind": kind, "spec": dict(spec), "priority": priority, "timeout_s": timeout_s}
        return self._object("POST", "/v1/jobs", body=body)

    def job(self, job_id: str) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("GET", _job_path(job_id))

    def jobs(self, *, statuses: Sequence[str] = (), limit: int = 100) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list("/v1/jobs", status=list(statuses), limit=limit)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("POST", f"{_job_path(job_id)}/cancel")

    def retry(self, job_id: str, *, fresh: bool = False) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("POST", f"{_job_path(job_id)}/retry", body={"fresh": fresh})

    def stream_log(self, job_id: str, *, offset: int = 0, follow: bool = False) -> Iterator[str]:
        """See `Operations`. An engine that is started again meanwhile is waited for."""
        last = time.monotonic()
        while True:
            try:
                for text in self._log(job_id, offset, follow):
                    last = time.monotonic()
                    offset += len(text.encode())
                    yield text
                if not follow:
                    return
                # The job has ended, or the engine was ended: then the rest comes from the next one.
                follow = self.job(job_id)["status"] not in ENDED
            except (httpx2.TransportError, EngineError) as e:
                if not follow or isinstance(e, UnknownJobError) or time.monotonic() > last + PATIENCE_S:
                    raise e if isinstance(e, EngineError) else self._unreachable(e) from e
                time.sleep(PAUSE_S)

    def _log(self, job_id: str, offset: int, follow: bool) -> Iterator[str]:
        query: dict[str, Any] = {"offset": offset, "follow": follow}
        timeout = httpx2.Timeout(TIMEOUT_S, read=None if follow else TIMEOUT_S)
        with self._http.stream("GET", f"{_job_path(job_id)}/log", params=query, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                raise _error(answer)
            yield from answer.iter_text()

    # --- results --------------------------------------------------------------------------------------------

    def runs(self) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list("/v1/runs")

    def run(self, run_id: str) -> dict[str, Any]:
        """See `Operations`."""
        return self._object("GET", f"/v1/runs/{_part(run_id)}")

    def models(self) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list("/v1/models")

    def register(self, name: str, run_id: str, *, alias: str | None = None) -> dict[str, Any]:
        """See `Operations`."""
        body = {"name": name, "run_id": run_id, "alias": alias}
        return self._object("POST", "/v1/models", body=body, timeout_s=SLOW_TIMEOUT_S)

    def predictions(self) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list("/v1/predictions")

    def prediction_rows(self, name: str, *, offset: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """See `Operations`."""
        return self._list(f"/v1/predictions/{_part(name)}", offset=offset, limit=limit)

    # --- requests -------------------------------------------------------------------------------------------

    def _object(self, method: str, path: str, *, body: Any = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        return cast(dict[str, Any], self._ask(method, path, body=body, timeout_s=timeout_s))

    def _list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._ask("GET", path, query=query, timeout_s=SLOW_TIMEOUT_S))

    def _ask(self, method: str, path: str, *, body: Any = None, query: Any = None, timeout_s: float) -> Any:
        try:
            answer = self._http.request(method, path, json=body, params=query, timeout=timeout_s)
        except httpx2.TransportError as e:
            raise self._unreachable(e) from e
        if not answer.is_success:
            raise _error(answer)
        return answer.json()

    def _unreachable(self, error: Exception) -> EngineError:
        return EngineError(
            f"the engine at {self.url} can't be reached: {str(error) or type(error).__name__}",
            hint="is the address right, and the engine running? foreknow status says; foreknow up starts it",
        )


def _part(name: str) -> str:
    """A name as a part of a path, slashes and all."""
    return quote(name, safe="")


def _job_path(job_id: str) -> str:
    if not job_id.isalnum():  # it would be another path
        raise UnknownJobError(f"there is no job '{job_id}'", hint="list them with: foreknow jobs list")
    return f"/v1/jobs/{job_id}"


def _error(answer: httpx2.Response) -> Exception:
    try:
        return error_from_dict(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return EngineError(
            f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}", hint="is that an engine?"
        )
