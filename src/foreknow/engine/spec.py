"""What a job of each kind is told. The same words in Python, over HTTP and in the queue; unknown ones are refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foreknow.errors import ConfigError, Finding, did_you_mean, near_match, raise_findings

__all__ = [
    "KINDS",
    "EvaluateSpec",
    "JobSpec",
    "PredictSpec",
    "TrainPredictSpec",
    "TrainSpec",
    "check_spec",
    "device_of",
    "read_spec",
]


class JobSpec(BaseModel):
    """Common to all kinds: which database. Interface; one class per kind follows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str | None = None  # project file, or a database or folder of files; the engine's own if not given


class _Training(JobSpec):
    task: str  # name of a task of the project, or of the new one in `definition`
    definition: str | dict[str, Any] | None = None  # a predictive query, or what stands under ``tasks: NAME:``
    parameters: dict[str, Any] = Field(default_factory=dict)  # on top of the project's; see TrainConfig
    register_as: str | None = None  # registered model to add the result to
    alias: str | None = None  # alias for the new version
    allow: list[str] = Field(default_factory=list)  # findings of the leakage audit to let pass


class _Scoring(JobSpec):
    table: str | None = None  # task table or SQL to predict for; the task's test table if neither this nor `at`
    at: str | int | None = None  # predict for all entities at this time; text or Unix seconds
    to: str | None = None  # where to write instead of into the database: a DuckDB file, or a folder for Parquet
    embeddings: bool = False  # write the entities' vectors too
    overwrite: bool = False  # replace prediction tables that exist
    batch_size: int = Field(default=512, ge=1)  # entities scored at once


class TrainSpec(_Training):
    """Train a model; see ``foreknow.workflow.train``."""


class PredictSpec(_Scoring):
    """Predict into a table with a trained model; see ``foreknow.workflow.predict``."""

    into: str  # table to write
    run_id: str | None = None  # the run whose model scores
    model: str | None = None  # or a registered version: NAME/VERSION or NAME@ALIAS
    device: str = "cpu"  # where the network runs


class TrainPredictSpec(_Training, _Scoring):
    """Train, then predict with what was trained."""

    into: str


class EvaluateSpec(JobSpec):
    """Score a trained model on labelled rows; see ``foreknow.workflow.evaluate``."""

    run_id: str | None = None
    model: str | None = None
    split: str = "test"
    table: str | None = None  # a labelled table or SQL instead of a split


KINDS: Mapping[str, type[JobSpec]] = {
    "train": TrainSpec,
    "predict": PredictSpec,
    "train_predict": TrainPredictSpec,
    "evaluate": EvaluateSpec,
}
"""Kinds of jobs and what each is told."""


def read_spec(kind: str, values: Mapping[str, Any]) -> JobSpec:
    """What a job is told, from plain values.

    Raises:
        ConfigError: The kind is unknown, or a field is, missing, or of the wrong type; all of them at once.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no job kind '{kind}'", hint=did_you_mean(kind, KINDS, "kinds"))
    try:
        return KINDS[kind].model_validate(dict(values))
    except ValidationError as e:
        raise_findings([_finding(KINDS[kind], error) for error in e.errors()], ConfigError, f"job '{kind}'")
        raise


def check_spec(spec: JobSpec) -> None:
    """Refuse what could only fail later.

    Raises:
        ConfigError: Training parameters or names for the registry that would be refused; not exactly one model.
    """
    from foreknow.project import make_config
    from foreknow.task.audit import check_allowed
    from foreknow.track.registry import check_alias, check_model_name

    if isinstance(spec, _Training):
        make_config(spec.parameters)
        check_allowed(spec.allow)
        if spec.register_as is not None:
            check_model_name(spec.register_as)
        if spec.alias is not None:
            check_alias(spec.alias)
            if spec.register_as is None:
                raise ConfigError(f"the alias '{spec.alias}' has no model to belong to", hint="give register_as too")
    if isinstance(spec, PredictSpec | EvaluateSpec) and (spec.run_id is None) == (spec.model is None):
        raise ConfigError("exactly one of a run and a model is needed", hint="give run_id or model")
    if isinstance(spec, _Scoring) and spec.table is not None and spec.at is not None:
        raise ConfigError("a table and a time were both given", hint="give one of table and at")


def device_of(spec: JobSpec) -> str:
    """Where a job computes, as far as can be told without loading PyTorch: ``cpu``, ``cuda:0``, ..."""
    asked = "cpu"
    if isinstance(spec, _Training):
        asked = str(spec.parameters.get("device", "auto"))
    elif isinstance(spec, PredictSpec):
        asked = spec.device
    if asked == "auto":
        asked = "cuda" if _has_gpu() else "cpu"
    return "cuda:0" if asked == "cuda" else asked


def _has_gpu() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1") and Path("/dev/nvidiactl").exists()


def _finding(model: type[JobSpec], error: Any) -> Finding:
    at, kind = ".".join(map(str, error["loc"])), error["type"]
    if kind == "extra_forbidden":
        match = near_match(str(error["loc"][-1]), model.model_fields)
        known = ", ".join(model.model_fields)
        hint = f"did you mean '{match}'?" if match else f"fields here: {known}"
        return Finding(name="unknown-field", message=f"{at}: unknown field", hint=hint)
    if kind == "missing":
        return Finding(name="missing-field", message=f"{at} is missing")
    given = error.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return Finding(name="bad-value", message=f"{at}: {error['msg'].lower()}{shown}")
