"""What there is to see in a project: source, schema, tasks, runs, predictions. Plain values, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreknow.database import Database, open_database
from foreknow.engine.wire import plain, read_json
from foreknow.errors import AccessError, UnknownModelError
from foreknow.predict.stored import list_predictions, read_predictions
from foreknow.project import AnyTaskFile, load_project
from foreknow.track.server import is_same_process

__all__ = ["Catalog"]


class Catalog:
    """Reads a project and its workspace, anew at every call: files change.

    Args:
        project: Project file, database, or folder of files.
        workspace: Holds snapshots and runs.
        roots: Folders that paths in requests may lie in; None for anywhere.
    """

    def __init__(self, project: Path, workspace: Path, *, roots: tuple[Path, ...] | None) -> None:
        self.project, self.workspace = project, workspace
        self._roots = roots

    def allowed(self, path: str | Path, *, base: Path | None = None) -> Path:
        """A path of a request, absolute.

        Raises:
            AccessError: It leads out of the folders that requests may reach.
        """
        found = ((base or self._base) / Path(path).expanduser()).resolve()
        if self._roots is not None and not any(found.is_relative_to(root) for root in self._roots):
            raise AccessError(
                f"'{path}' lies outside of the project",
                hint="start the engine with --allow-path FOLDER to let requests reach it",
            )
        return found

    @property
    def _base(self) -> Path:
        return self.project if self.project.is_dir() else self.project.parent

    def open(self, project: str | None = None) -> Database:
        """The engine's database, or another one by its path."""
        where = self.project if project is None else self.allowed(project)
        return open_database(where, home=self.workspace)

    def source(self) -> dict[str, Any]:
        """Tables and columns of the source as they are declared, and which project it belongs to."""
        database = self.open()
        tables = [
            {"name": name, "columns": dict(table.columns)} for name, table in sorted(database.source.tables().items())
        ]
        return {
            "uri": database.source.uri,
            "dataset": database.dataset,
            "project": str(self.project),
            "tables": tables,
        }

    def schema(self, project: str | None = None) -> dict[str, Any]:
        """What the tables mean: given in the project file, or proposed, with what there is to look at."""
        database = self.open(project)
        found = database.inspect()
        return {
            "dataset": database.dataset,
            "is_proposal": database.project.file.tables is None,
            "schema": found.schema.to_dict(),
            "row_counts": plain(found.row_counts),
            "dangling": [{"table": t, "link": k, "share": plain(v)} for (t, k), v in found.dangling.items()],
            "notes": [plain(f.to_dict()) for f in found.notes],
            "left_out": plain(found.left_out),
            "reasons": [{"table": t, "column": c, "reason": str(why)} for (t, c), why in found.reasons.items()],
            "yaml": database.to_yaml(),
            "svg": database.diagram(),
            "text": database.describe(),
        }

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks of the project."""
        if not (self.project.suffix in (".yaml", ".yml") or (self.project / "foreknow.yaml").exists()):
            return []
        return [_task(name, file) for name, file in load_project(self.project).file.tasks.items()]

    def preview(self, task: str, definition: str | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Rows, seed times and labels per split of a task of the project, or of a new one; what a check found.

        A predictive query is explained too, and told as SQL.
        """
        from foreknow import workflow

        bound = self.open().task(task, definition)
        about = {"task": plain(bound.task.to_dict()), "experiment": bound.experiment}
        if bound.resolved is not None:
            found = bound.preview()
            more = {"splits": plain(found.splits), "explanation": list(found.explanation), "sql": plain(found.sql)}
            return about | more | {"findings": [plain(f.to_dict()) for f in found.findings]}
        prepared = workflow.prepare(bound)
        splits = plain(workflow.describe_splits(prepared))
        findings = [plain(f.to_dict()) for f in prepared.findings]
        return about | {"splits": splits, "explanation": [], "sql": {}, "findings": findings}

    def runs(self) -> list[dict[str, Any]]:
        """Trainings of the workspace, newest first."""
        records = sorted((self.workspace / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        return [found for path in records if (found := _run(path.parent)) is not None]

    def run(self, run_id: str) -> dict[str, Any]:
        """A training of the workspace.

        Raises:
            UnknownModelError: There is none of that id.
        """
        found = _run(self.workspace / "runs" / run_id) if run_id.isalnum() else None
        if found is None:
            raise UnknownModelError(f"there is no run '{run_id}' in the workspace", hint="list them with runs")
        return found

    def predictions(self) -> list[dict[str, Any]]:
        """Prediction tables beside the source's."""
        return [plain(s) for s in list_predictions(self._place())]

    def prediction_rows(self, name: str, *, offset: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Rows of a prediction table."""
        return [plain(row) for row in read_predictions(self._place(), name, offset=offset, limit=limit)]

    def _place(self) -> Path:
        from foreknow.workflow import default_destination

        return default_destination(self.open())


def _task(name: str, file: AnyTaskFile) -> dict[str, Any]:
    """A task as the project file says it; what a query leaves open is worked out by a preview."""
    stated = getattr(file, "type", None)
    return {
        "name": name,
        "type": None if stated is None else str(stated),
        "query": getattr(file, "query", None),
        "metric": file.metric,
        "splits": list(getattr(file, "tables", ("train", "validation", "test"))),
    }


def _run(folder: Path) -> dict[str, Any] | None:
    """What the folder of a run says. FINISHED, RUNNING, or STOPPED: interrupted or failed."""
    record, result = read_json(folder / "run.json"), read_json(folder / "result.json")
    if record is None:
        return None
    if result is None:
        result = {"run_id": folder.name, "experiment": record["experiment"], "status": _status(record)}
    can_resume = result["status"] == "STOPPED" and (folder / "checkpoint" / "state.json").exists()
    return {**result, "task": record["task"]["name"], "config": record["config"], "can_resume": can_resume}


def _status(record: Mapping[str, Any]) -> str:
    process = record["process"]
    return "RUNNING" if is_same_process(int(process["pid"]), float(process["started"])) else "STOPPED"
