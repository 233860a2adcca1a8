"""How far a job is: told by its worker's reporter, read by everybody else from a file."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from foreknow.engine.folder import JobFolder
from foreknow.errors import Finding
from foreknow.train.loop import EpochRecord

__all__ = ["JobReporter"]

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 0.5


class JobReporter:
    """A reporter that prints to the job's log and keeps ``progress.json`` up to date.

    Args:
        folder: Of the job.
        on_run: Told the run's id as soon as it exists.
        clock: Seconds that only grow.
    """

    def __init__(
        self, folder: JobFolder, *, on_run: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._on_run, self._clock = folder, on_run, clock
        self._state: dict[str, Any] = {"stage": "starting"}
        self._written = -math.inf
        self._began: tuple[float, int] | None = None  # when the first step seen was done, and which it was
        self._failed = False
        self._write(now=True)

    def stage(self, text: str) -> None:
        """Print it."""
        _say(text)
        for name in ("done", "total"):
            self._state.pop(name, None)
        self._state |= {"stage": text, "time_left_s": None}
        self._write(now=True)

    def finding(self, finding: Finding) -> None:
        """Print it."""
        _say(f"{finding.severity} {finding}")

    def run_started(self, run_id: str, run_name: str, url: str | None, num_parameters: int, num_epochs: int) -> None:
        """Note the run and print where to watch it."""
        self._on_run(run_id)
        _say(f"run {run_name} ({num_parameters:,} parameters)")
        if url:
            _say(f"watch it: {url}")
        self._state |= {"stage": "training", "run_id": run_id, "run_name": run_name, "url": url, "epochs": num_epochs}
        self._write(now=True)

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Note it."""
        done, now = (epoch - 1) * num_steps + step, self._clock()
        if self._began is None:
            self._began = now, done
        total = self._state.get("epochs", 1) * num_steps
        since, first = self._began
        left = (now - since) / (done - first) * (total - done) if done > first else None
        self._state |= {"stage": "training", "epoch": epoch, "step": step, "steps": num_steps, "loss": loss}
        self._state["time_left_s"] = None if left is None else round(left, 1)
        self._write()

    def on_evaluate(self, done: int, total: int) -> None:
        """Note it."""
        self._state |= {"done": done, "total": total}
        self._write(now=done >= total)

    def on_epoch(self, record: EpochRecord) -> None:
        """Print a line, note the figures."""
        mark = "  best so far" if record.is_best else ""
        _say(
            f"epoch {record.epoch}: train_loss {record.train_loss:.4f}  val_loss {record.val_loss:.4f}  "
            f"train_metric {record.train_metric:.4f}  val_metric {record.val_metric:.4f}  "
            f"{record.elapsed_s:.1f} s{mark}"
        )
        self._state |= {"epoch": record.epoch, "train_loss": record.train_loss, "val_loss": record.val_loss}
        self._state |= {"train_metric": record.train_metric, "val_metric": record.val_metric}
        self._write(now=True)

    def _write(self, *, now: bool = False) -> None:
        """Write the file, at most twice a second unless it matters. A full disk must not end a training."""
        if not now and self._clock() - self._written < WRITE_EVERY_S:
            return
        self._written = self._clock()
        try:
            self._folder.set_progress(self._state)
        except OSError as e:
            if not self._failed:
                logger.warning("progress can't be written: %s", e)
            self._failed = True


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
