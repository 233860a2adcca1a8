"""A job as a client holds it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from foreknow.client.operations import Operations
from foreknow.client.views import RunView, html_table
from foreknow.errors import JobError, JobTimeoutError, error_from_dict

__all__ = ["Job"]

ENDED = ("COMPLETED", "FAILED", "CANCELED")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0


class Job:
    """A job of an engine. What it knows is as of the last answer; `refresh` asks anew."""

    def __init__(self, operations: Operations, values: Mapping[str, Any]) -> None:
        self._operations = operations
        self.values = dict(values)

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.values["id"])

    @property
    def kind(self) -> str:
        """What is done."""
        return str(self.values["kind"])

    @property
    def status(self) -> str:
        """CREATED, QUEUED, RUNNING, COMPLETED, FAILED or CANCELED, as of the last answer."""
        return str(self.values["status"])

    @property
    def run_id(self) -> str | None:
        """The MLflow run, once it exists."""
        return self.values.get("run_id")

    @property
    def progress(self) -> Mapping[str, Any]:
        """How far it is: ``stage``, ``epoch``, ``epochs``, ``step``, ``steps``, ``loss``, ``time_left_s``."""
        return dict(self.values.get("progress") or {})

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED

    def refresh(self) -> Job:
        """Ask the engine where it stands."""
        self.values = self._operations.job(self.id)
        return self

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Job:
        """Wait until it has ended, well or not.

        Args:
            timeout: Seconds to wait at most.
            progress: Show a bar; if not given, in terminals and notebooks.

        Raises:
            JobTimeoutError: It takes longer; it goes on.
        """
        from foreknow.client.bar import ProgressBar

        end = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE_S
        with ProgressBar(shown=progress) as bar:
            while not self.refresh().has_ended:
                bar.show(self.values)
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise JobTimeoutError(
                        f"job '{self.id}' is {self.status} after {timeout:g} s",
                        hint="it goes on: wait again, or cancel",
                    )
                time.sleep(pause if left is None else min(pause, left))
                pause = min(pause * 1.3, LONGEST_PAUSE_S)
        return self

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Its log, line by line; `follow`: as it is written, until the job has ended."""
        rest = ""
        for text in self._operations.stream_log(self.id, follow=follow):
            *lines, rest = (rest + text).split("\n")
            yield from lines
        if rest:
            yield rest

    def cancel(self) -> Job:
        """Cancel it; what it learnt so far is kept.

        Raises:
            JobError: It has ended already.
        """
        self.values = self._operations.cancel(self.id)
        return self

    def retry(self, *, fresh: bool = False) -> Job:
        """Put it into the queue again, from its last checkpoint unless `fresh`.

        Raises:
            JobError: It is neither failed nor canceled.
        """
        self.values = self._operations.retry(self.id, fresh=fresh)
        return self

    @property
    def result(self) -> dict[str, Any]:
        """What came out of it, as plain values.

        Raises:
            JobError: It hasn't ended, or was canceled.
            ForeknowError: It failed: the error a local user would have got.
        """
        if not self.has_ended:
            self.refresh()
        if self.status == "FAILED":
            raise error_from_dict(self.values["error"])
        if self.status != "COMPLETED":
            hint = "wait() first" if not self.has_ended else "retry() puts it into the queue again"
            raise JobError(f"job '{self.id}' has no result: it is {self.status}", hint=hint)
        return dict(self.values["result"])

    @property
    def run(self) -> RunView:
        """The training that came out of it.

        Raises:
            JobError: As `result`.
        """
        result = self.result
        if "run_id" not in result:
            raise JobError(f"job '{self.id}' of kind {self.kind} trains nothing")
        return RunView(values=result)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.kind}: {describe(self.values)}>"

    def _repr_html_(self) -> str:
        names = ("id", "kind", "status", "run_id", "created", "started", "ended")
        table = html_table([[n, self.values.get(n)] for n in names], ("job", ""))
        return f"{table}<p>{escape(describe(self.values))}</p>"


def describe(values: Mapping[str, Any]) -> str:
    """Where a job stands, in a line."""
    status = str(values["status"])
    if status == "QUEUED":
        ahead = values.get("queue_position")
        return f"QUEUED, {ahead} before it" if ahead else "QUEUED"
    if status == "FAILED":
        return f"FAILED: {str((values.get('error') or {}).get('message', '')).partition(chr(10))[0]}"
    if status != "RUNNING":
        return status
    progress = values.get("progress") or {}
    text = "stopping" if values.get("stopping") else str(progress.get("stage", "starting"))
    if text == "training" and "epoch" in progress:
        text = f"epoch {progress['epoch']}/{progress.get('epochs', '?')}"
        if "loss" in progress:
            text += f", step {progress['step']}/{progress['steps']}, loss {progress['loss']:.4f}"
    left = progress.get("time_left_s")
    return f"RUNNING, {text}" + (f", {left:.0f} s left" if left is not None else "")
