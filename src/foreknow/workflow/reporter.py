"""Who is told what long work does."""

from __future__ import annotations

import logging
from typing import Protocol

from foreknow.errors import (
    Finding,
)
from foreknow.train.loop import EpochRecord

logger = logging.getLogger(__name__)


class Reporter(Protocol):
    """Told what long work does. A terminal shows it, a notebook draws it, tests collect it."""

    def stage(self, text: str) -> None:
        """Something begins."""
        ...

    def finding(self, finding: Finding) -> None:
        """A person should know this."""
        ...

    def run_started(self, run_id: str, run_name: str, url: str | None, num_parameters: int, num_epochs: int) -> None:
        """The MLflow run exists; its page can be opened. At most so many epochs follow."""
        ...

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A training step is done."""
        ...

    def on_evaluate(self, done: int, total: int) -> None:
        """Some rows are scored."""
        ...

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch is done."""
        ...


class Silent:
    """A reporter that only logs."""

    def stage(self, text: str) -> None:
        """Log."""
        logger.info(text)

    def finding(self, finding: Finding) -> None:
        """Log."""
        logger.warning(str(finding))

    def run_started(self, run_id: str, run_name: str, url: str | None, num_parameters: int, num_epochs: int) -> None:
        """Log."""
        logger.info("run %s, %s", run_name, url)

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Nothing."""

    def on_evaluate(self, done: int, total: int) -> None:
        """Nothing."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Log."""
        logger.info("%s", record)
