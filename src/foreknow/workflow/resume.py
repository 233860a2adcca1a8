"""Going on with a run that was interrupted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from foreknow.database import BoundTask
from foreknow.errors import (
    TrainingError,
)
from foreknow.project import make_config
from foreknow.train.config import TrainConfig
from foreknow.workflow.prepared import Prepared


def find_resumable(bound: BoundTask, which: str) -> str:
    """The run to go on with.

    Args:
        bound: The task.
        which: A run id, or ``latest``.

    Raises:
        TrainingError: There is no interrupted run with a checkpoint.
    """
    runs = bound.database.workspace / "runs"
    if which != "latest":
        if not (runs / which / "checkpoint" / "state.json").exists():
            raise TrainingError(
                f"run '{which}' has no checkpoint in '{runs}'", hint="use --resume latest, or start anew"
            )
        return which
    interrupted = [
        record
        for record in runs.glob("*/run.json")
        if json.loads(record.read_text())["experiment"] == bound.experiment
        and (record.parent / "checkpoint" / "state.json").exists()
        and not (record.parent / "result.json").exists()
    ]
    if not interrupted:
        raise TrainingError(
            f"no interrupted run of {bound.experiment} with a checkpoint", hint="start one without --resume"
        )
    return max(interrupted, key=lambda r: r.stat().st_mtime).parent.name


def check_resumable(bound: BoundTask, run_id: str, config: TrainConfig | None) -> TrainConfig:
    """A run goes on only with the task and the parameters it began with; returns those.

    Raises:
        TrainingError: Something changed in between, or the run is finished.
    """
    folder = bound.database.workspace / "runs" / run_id
    if (folder / "result.json").exists():
        raise TrainingError(f"run '{run_id}' is finished", hint="start a new run, with more epochs if need be")
    record = json.loads((folder / "run.json").read_text())
    began = make_config(record["config"], where=f"run '{run_id}'")
    given = asdict(config) if config is not None else {}
    changed = [f"{k}: {v!r}, now {given[k]!r}" for k, v in asdict(began).items() if given and given[k] != v]
    now = json.loads(json.dumps(bound.task.to_dict()))
    changed += [f"task.{k}" for k in now if k != "allow" and now[k] != record["task"].get(k)]
    if changed:
        raise TrainingError(
            f"run '{run_id}' began with other settings ({'; '.join(changed)})",
            hint="a resumed run keeps its settings: leave them out, or start a new run",
        )
    return began


def check_same(folder: Path, prepared: Prepared) -> None:
    """A run goes on only on the rows it began with.

    Raises:
        TrainingError: The data changed in between.
    """
    record = json.loads((folder / "run.json").read_text())
    if record["snapshot"] != prepared.store.fingerprint:
        raise TrainingError(
            f"the tables changed since run '{folder.name}' began", hint="start a new run instead of resuming this one"
        )
