"""Runs of jobs: closed for workers that can't close them any more.

Small requests to MLflow's REST interface rather than its client, which would take seconds and 200 MB to import. A
tracking store in a file has no REST interface; for it alone the client is used.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from foreknow.track.guard import call_rest

__all__ = ["JOB_TAG", "close_job_runs", "finish_run"]

JOB_TAG = "foreknow.job"
OPEN_RUNS = f"tags.`{JOB_TAG}` LIKE '%' AND attributes.status = 'RUNNING'"


def close_job_runs(url: str, *, running: Collection[str]) -> list[str]:
    """Mark runs KILLED that are open although their job doesn't run.

    Runs bear their job's id as tag `JOB_TAG` from the moment they exist.

    Args:
        url: Address of the tracking server.
        running: Ids of the jobs whose runs may be open.

    Returns:
        Ids of the runs that were closed.

    Raises:
        OSError: The server can't be reached.
    """
    is_file = not url.startswith("http")
    found = _open_in_file(url) if is_file else _open_on_server(url)
    lost = [run_id for run_id, job_id in found if job_id not in running]
    for run_id in lost:
        if is_file:
            _file_client(url).set_terminated(run_id, "KILLED")
        else:
            _set_status(url, run_id, "KILLED")
    return lost


def finish_run(url: str, run_id: str) -> None:
    """Mark a run FINISHED that is: its process was lost after the last word but before it could say so."""
    if not url.startswith("http"):
        client = _file_client(url)
        if client.get_run(run_id).info.status != "FINISHED":
            client.set_terminated(run_id, "FINISHED")
        return
    run = call_rest(f"{url}/api/2.0/mlflow/runs/get?run_id={run_id}", "GET")["run"]
    if run["info"]["status"] != "FINISHED":
        _set_status(url, run_id, "FINISHED")


def _experiments(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = None
    while True:
        page = {"max_results": 1000, **({"page_token": token} if token else {})}
        answer = call_rest(f"{url}/api/2.0/mlflow/experiments/search", "POST", page)
        found += answer.get("experiments", [])
        token = answer.get("next_page_token")
        if not token:
            return found


def _set_status(url: str, run_id: str, status: str) -> None:
    now = int(time.time() * 1000)
    update = {"run_id": run_id, "status": status, "end_time": now}
    call_rest(f"{url}/api/2.0/mlflow/runs/update", "POST", update)


def _file_client(url: str) -> Any:
    from foreknow.track.mlflow import import_mlflow

    return import_mlflow().MlflowClient(tracking_uri=url)


def _open_in_file(url: str) -> list[tuple[str, str]]:
    """Open runs of jobs, with their jobs."""
    client = _file_client(url)
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments, OPEN_RUNS) if experiments else []
    return [(run.info.run_id, run.data.tags[JOB_TAG]) for run in found]


def _open_on_server(url: str) -> list[tuple[str, str]]:
    experiments = [e["experiment_id"] for e in _experiments(url)]
    if not experiments:
        return []
    search = {"experiment_ids": experiments, "filter": OPEN_RUNS, "max_results": 1000}
    found = call_rest(f"{url}/api/2.0/mlflow/runs/search", "POST", search).get("runs", [])
    tags = [(r["info"]["run_id"], {t["key"]: t["value"] for t in r["data"].get("tags", [])}) for r in found]
    return [(run_id, of.get(JOB_TAG, "")) for run_id, of in tags]
