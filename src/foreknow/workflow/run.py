"""What a finished training leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foreknow.database import BoundTask
from foreknow.train.loop import EpochRecord
from foreknow.train.scoreboard import Row
from foreknow.workflow.prediction import Prediction, predict


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training run.

    ``metric``: what the task goes by, and the scoreboard's intervals are of. ``verdict``: what the scoreboard comes to,
    in a sentence. ``not_recorded``: what MLflow could not be given; all of it is in ``folder``.
    """

    run_id: str
    run_name: str
    url: str | None
    experiment: str
    status: str
    metric: str
    metrics: Mapping[str, Mapping[str, float]]
    scoreboard: tuple[Row, ...]
    verdict: str
    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: str
    seconds: Mapping[str, float]
    folder: Path
    model_uri: str | None = None
    model_version: str | None = None
    not_recorded: tuple[str, ...] = ()
    _task: BoundTask | None = field(default=None, repr=False)

    def predict(self, into: str, **options: Any) -> Prediction:
        """Predict with this run's model into a table of the database; see `predict`."""
        assert self._task is not None
        return predict(self._task.database, run_id=self.run_id, into=into, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as ``foreknow train --json`` prints them."""
        value: dict[str, Any] = json_ready(
            {
                "run_id": self.run_id,
                "run_name": self.run_name,
                "url": self.url,
                "experiment": self.experiment,
                "status": self.status,
                "metric": self.metric,
                "metrics": {k: dict(v) for k, v in self.metrics.items()},
                "scoreboard": [r.to_dict() for r in self.scoreboard],
                "verdict": self.verdict,
                "best_epoch": self.best_epoch,
                "epochs": len(self.history),
                "stopped": self.stopped,
                "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
                "model_uri": self.model_uri,
                "model_version": self.model_version,
                "not_recorded": list(self.not_recorded),
                "folder": str(self.folder),
            }
        )
        return value

    def save(self) -> None:
        """Write ``result.json`` into the run's folder: its presence says that the run is finished."""
        temporary = self.folder / f".result.{os.getpid()}"
        temporary.write_text(json.dumps(self.to_dict(), indent=1))
        os.replace(temporary, self.folder / "result.json")


def json_ready(value: Any) -> Any:
    """Replace numbers JSON doesn't know (NaN) by null."""
    if isinstance(value, dict):
        return {k: json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
