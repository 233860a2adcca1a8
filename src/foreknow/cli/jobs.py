"""``foreknow jobs``: the jobs of a workspace's engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreknow.cli.console import JsonOption, ProjectOption, err, out, print_json, show_rows
from foreknow.errors import ConfigError

if TYPE_CHECKING:
    from foreknow.client import Client, Job

app = typer.Typer(
    help="Jobs of the engine: list, show, logs, submit, cancel, retry.",
    no_args_is_help=True,
)

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, or the beginning of it.")]


def open_client(project: Path) -> Client:
    """The engine that runs on a project; or what its workspace says, with nobody there to run jobs."""
    from foreknow.client import Client
    from foreknow.engine.engine import Engine, find_engine, workspace_of

    home = os.environ.get("FOREKNOW_HOME")
    record = find_engine(workspace_of(project.resolve(), home))
    if record is not None and record["address"] is not None:
        return Client(record["address"])
    return Client(operations=Engine(project, workspace=home, tracking_uri=os.environ.get("MLFLOW_TRACKING_URI")))


@app.command("list")
def list_(
    project: ProjectOption = Path("."),
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="Only jobs of this status, e.g. RUNNING.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="So many at most.")] = 20,
    json: JsonOption = False,
) -> None:
    """List jobs, newest first.

    [bold]Examples[/bold]

      foreknow jobs list
      foreknow jobs list --status RUNNING --status QUEUED --json
    """
    with open_client(project) as client:
        jobs = list(client.jobs(statuses=[s.upper() for s in status or ()], limit=limit))
    if json:
        print_json({"jobs": jobs})
    elif jobs:
        show_rows([_row(job) for job in jobs], whole=("id", "status"))
    else:
        out.print("no jobs: foreknow jobs submit train task=NAME")


@app.command("show")
def show(job: JobArgument, project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """Show where a job stands, how far it is, and what came out of it.

    [bold]Examples[/bold]

      foreknow jobs show 0c3e4634f3e6
      foreknow jobs show 0c3e --json
    """
    with open_client(project) as client:
        found = client.job(job)
        if json:
            print_json(found.values)
            return
        _show(found)


@app.command("logs")
def logs(
    job: JobArgument,
    project: ProjectOption = Path("."),
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.", metavar="")] = False,
) -> None:
    """Print a job's log.

    [bold]Examples[/bold]

      foreknow jobs logs 0c3e4634f3e6
      foreknow jobs logs 0c3e -f
    """
    with open_client(project) as client:
        for line in client.job(job).logs(follow=follow):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


@app.command("submit")
def submit(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="train, predict, train_predict or evaluate.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="What it is told; parameters.NAME=VALUE for training."),
    ] = None,
    project: ProjectOption = Path("."),
    priority: Annotated[int, typer.Option(metavar="N", help="Higher ones first.")] = 0,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long it may run.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print its log until it has ended.", metavar="")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a job into the queue.

    It is run by the engine: "foreknow up". Without one it waits.

    [bold]Examples[/bold]

      foreknow jobs submit train task=Churn parameters.epochs=3 --follow
      foreknow jobs submit predict model=churn@champion into=NEXT_WEEK
    """
    with open_client(project) as client:
        job = client.submit(kind, priority=priority, timeout_s=timeout, **_spec(settings or []))
        if not client.health()["is_running"]:
            err.print("no engine runs; the job waits for one: foreknow up", markup=False)
        elif follow:
            for line in job.logs(follow=True):
                err.print(line, markup=False, soft_wrap=True)
            job.refresh()
        if json:
            print_json(job.values)
        elif follow and job.has_ended:
            _show(job)
        else:
            out.print(f"job {job.id}", markup=False)


@app.command("cancel")
def cancel(job: JobArgument, project: ProjectOption = Path("."), json: JsonOption = False) -> None:
    """Cancel a job, waiting or running. Its last checkpoint is kept.

    [bold]Examples[/bold]

      foreknow jobs cancel 0c3e4634f3e6
      foreknow jobs cancel 0c3e --json
    """
    with open_client(project) as client:
        found = client.job(job).cancel()
    _tell(found, "is being stopped" if found.status == "RUNNING" else "is canceled", json)


@app.command("retry")
def retry(
    job: JobArgument,
    project: ProjectOption = Path("."),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start from the beginning, not from the last checkpoint.", metavar="")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a failed or canceled job into the queue again.

    It goes on from its last checkpoint.

    [bold]Examples[/bold]

      foreknow jobs retry 0c3e4634f3e6
      foreknow jobs retry 0c3e --fresh
    """
    with open_client(project) as client:
        found = client.job(job).retry(fresh=fresh)
    _tell(found, "is in the queue", json)


def _tell(job: Job, what: str, json: bool) -> None:
    if json:
        print_json(job.values)
    else:
        out.print(f"job {job.id} {what}", markup=False)


def _row(job: dict[str, Any]) -> dict[str, Any]:
    about = job["spec"].get("task") or job["spec"].get("model") or job["spec"].get("run_id")
    return {
        "id": job["id"],
        "kind": job["kind"],
        "of": about,
        "status": job["status"],
        "submitted": str(job["created"])[:19].replace("T", " "),
    }


def _show(job: Job) -> None:
    from foreknow.client.job import describe

    out.print(f"job {job.id}, {job.kind}: {describe(job.values)}", markup=False, soft_wrap=True)
    told = {k: v for k, v in job.values["spec"].items() if v not in (None, {}, False)}
    for name, value in told.items():
        out.print(f"  {name}: {value}", markup=False, soft_wrap=True)
    for name in ("created", "started", "ended", "run_id"):
        if job.values.get(name):
            out.print(f"  {name}: {job.values[name]}", markup=False, soft_wrap=True)
    if job.progress.get("url"):
        out.print(f"  watch: {job.progress['url']}", markup=False, soft_wrap=True)
    if job.status == "FAILED":
        err.print(str((job.values["error"] or {}).get("message")), markup=False, soft_wrap=True)
    elif job.status == "COMPLETED":
        if "scoreboard" in job.result:
            out.print(repr(job.run), markup=False, soft_wrap=True)
        for where in (job.result.get("predictions") or job.result).get("tables", {}).values():
            out.print(f"  written: {where}", markup=False, soft_wrap=True)


def _spec(pairs: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` as a spec; values are YAML, ``parameters.NAME`` goes below ``parameters``."""
    import yaml

    spec: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"'{pair}' says nothing", hint="write NAME=VALUE, e.g. task=Churn parameters.epochs=3")
        place = spec
        *groups, last = name.split(".")
        for group in groups:
            place = place.setdefault(group, {})
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        place[last] = value if isinstance(value, bool | int | float | list | dict | str) else text
    return spec
