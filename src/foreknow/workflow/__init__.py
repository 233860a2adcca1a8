"""The whole story: prepare a task, train, evaluate, predict.

Notebook, command line and engine call these functions; none of them prints. Long work tells a `Reporter` what it
does.
"""

from foreknow.workflow.prediction import (
    Prediction,
    default_destination,
    evaluate,
    load_bundle,
    predict,
    save_tables,
)
from foreknow.workflow.prepared import Prepared, audit, describe_splits, prepare
from foreknow.workflow.reporter import Reporter, Silent
from foreknow.workflow.resume import find_resumable
from foreknow.workflow.run import Run
from foreknow.workflow.training import MAX_WINDOWS, train

__all__ = [
    "MAX_WINDOWS",
    "Prediction",
    "Prepared",
    "Reporter",
    "Run",
    "Silent",
    "audit",
    "default_destination",
    "describe_splits",
    "evaluate",
    "find_resumable",
    "load_bundle",
    "predict",
    "prepare",
    "save_tables",
    "train",
]
