"""Foreknow predicts the future of the rows of a relational database, straight from its tables.

    import foreknow as fk

    db = fk.open("hm.duckdb")                 # types, keys, links and time columns are inferred
    task = db.task("Churn", {...})            # what stands under tasks: in a project file
    run = fk.train(task, epochs=10)           # live in MLflow; run.scoreboard, run.url
    run.predict(into="PREDICTIONS_CHURN")     # a table in hm.duckdb

Importing this package imports neither torch nor mlflow; they load when first needed.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads must sleep, not spin: on a busy machine spinning makes small operations up to 80 times slower
# (a training step of 13 ms took 1.1 s with both cores taken). Read by the OpenMP runtime when torch is first loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from foreknow.api import audit, open, predict, train
    from foreknow.client import Client, Job
    from foreknow.database import BoundTask, Database, Inspection
    from foreknow.errors import Finding, ForeknowError
    from foreknow.task.audit import Audit
    from foreknow.train.config import TrainConfig
    from foreknow.workflow import Prediction, Run

__all__ = [
    "Audit",
    "BoundTask",
    "Client",
    "Database",
    "Finding",
    "ForeknowError",
    "Inspection",
    "Job",
    "Prediction",
    "Run",
    "TrainConfig",
    "audit",
    "open",
    "predict",
    "train",
]

_WHERE = {
    "Audit": "foreknow.task.audit",
    "BoundTask": "foreknow.database",
    "Client": "foreknow.client",
    "Database": "foreknow.database",
    "Finding": "foreknow.errors",
    "ForeknowError": "foreknow.errors",
    "Inspection": "foreknow.database",
    "Job": "foreknow.client",
    "Prediction": "foreknow.workflow",
    "Run": "foreknow.workflow",
    "TrainConfig": "foreknow.train.config",
    "audit": "foreknow.api",
    "open": "foreknow.api",
    "predict": "foreknow.api",
    "train": "foreknow.api",
}


class _FrontDoor(ModuleType):
    """The package. Importing the rooms ``train`` and ``predict`` would hide the functions of the same names."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'foreknow' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
