"""Whatever is killed, and whenever: every job ends, nothing is done twice, nothing is left half done."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest

from foreknow.engine.engine import Engine
from foreknow.engine.process import find_process
from foreknow.engine.work import perform
from foreknow.errors import SinkError
from foreknow.predict.stored import list_predictions, predicted_at
from foreknow.testing.engines import NOWHERE, ended, submit_fake, until


class Killer:
    """Keeps an engine process up, and kills it, its workers and its MLflow server.

    Jobs are submitted through an engine that runs nothing: a second pair of hands on the same workspace.
    """

    def __init__(self, project, seed, *options):
        self.project, self.random, self.options = project, random.Random(seed), options
        self.log = (project / "engine.log").open("ab")
        self.process = None
        self.killed = Counter()

    def up(self):
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "foreknow.testing.engine_process", str(self.project), *self.options]
            self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def down(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def strike(self, engine, victim):
        """Kill one, if it is there to be killed."""
        if victim == "engine":
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
                self.killed[victim] += 1
            self.up()
            return
        pids = []
        if victim == "worker":
            pids = [job.pid for job in engine.queue.running() if job.pid is not None]
        elif (engine.workspace / "mlflow.json").exists():
            pids = [json.loads((engine.workspace / "mlflow.json").read_text())["pid"]]
        for pid in pids:
            if find_process(pid) is not None:
                os.killpg(pid, signal.SIGKILL)
                self.killed[victim] += 1


def settle(engine, killer, ids, timeout_s):
    def done():
        killer.up()
        return all(engine.queue.get(i).has_ended for i in ids)

    until(done, timeout_s)
    return {i: engine.job(i) for i in ids}


def check_ends(jobs):
    for job in jobs.values():
        assert job["status"] in ("COMPLETED", "FAILED"), job
        assert (job["status"] == "FAILED") == bool((job["error"] or {}).get("message")), job
        assert (job["status"] == "COMPLETED") == (job["result"] is not None), job


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in range(2, 12))])
def test_pretended_jobs_survive_kills_of_workers_and_engines(toy, seed):
    engine = Engine(toy, tracking_uri=NOWHERE)
    killer = Killer(toy, seed, "--fake", "--tracking-uri", NOWHERE)
    killer.up()
    try:
        ids = [submit_fake(engine, {"steps": 4, "step_s": 0.03}) for _ in range(6)]
        for _ in range(6):
            time.sleep(killer.random.uniform(0.05, 0.6))
            killer.strike(engine, killer.random.choice(["worker", "engine"]))
        jobs = settle(engine, killer, ids, 60)
        check_ends(jobs)
        done = Counter(line.split()[0] for line in (engine.workspace / "done.txt").read_text().splitlines())
        completed = {i for i, job in jobs.items() if job["status"] == "COMPLETED"}
        assert completed <= set(done)
        assert killer.killed["engine"] > 0
        for i in set(ids) - completed:
            assert "the worker was lost" in jobs[i]["error"]["message"]
    finally:
        killer.down()
        engine.close()


def statuses(uri):
    """MLflow's view: status and job of every run."""
    from foreknow.track.mlflow import import_mlflow

    client = import_mlflow().MlflowClient(tracking_uri=uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    return [(r.info.run_id, r.info.status, r.data.tags.get("foreknow.job")) for r in client.search_runs(experiments)]


def check_work(engine, jobs, uri):
    """What the jobs left in MLflow, on disk and in the database."""
    until(lambda: not [r for r in statuses(uri) if r[1] in ("RUNNING", "SCHEDULED")], 60)
    runs = {run_id: (status, job) for run_id, status, job in statuses(uri)}
    finished = Counter(job for status, job in runs.values() if status == "FINISHED")
    assert max(finished.values(), default=0) <= 1, "a job led to two results"
    place = engine.project / "toy.duckdb"
    tables = {t.name: t for t in list_predictions(place)}
    for job_id, job in jobs.items():
        into = job["spec"].get("into")
        if job["status"] == "COMPLETED" and job["kind"] != "predict":
            assert runs[job["result"]["run_id"]] == ("FINISHED", job_id)
        if into is None:
            continue
        if job["status"] == "COMPLETED" or into in tables:
            assert tables[into].num_rows == 2, "a table is there as a whole"
            assert len(predicted_at(place, into)) == 1
    assert {t for t in tables if t.startswith("P")} <= {j["spec"].get("into") for j in jobs.values()}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An MLflow database with all its tables, made once: making it takes seconds."""
    from foreknow.track.mlflow import import_mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    import_mlflow().MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def test_a_training_killed_after_its_first_epoch_ends_as_one_run_and_one_table(toy, empty_store, monkeypatch):
    uri = f"sqlite:///{shutil.copyfile(empty_store, toy / 'mlflow.db')}"
    engine = Engine(toy, tracking_uri=uri).start()
    try:
        spec = {"task": "Buys", "into": "P0", "parameters": {"epochs": 30, "patience": 99, "scoreboard": "off"}}
        job_id = engine.submit("train_predict", spec)["id"]
        until(lambda: (engine.job(job_id)["progress"] or {}).get("epoch", 0) >= 2, 60)
        os.killpg(engine.queue.get(job_id).pid, signal.SIGKILL)
        job = ended(engine, job_id, 90)
        assert (job["status"], job["attempt"]) == ("COMPLETED", 2), job
        assert "going on with run" in "".join(engine.stream_log(job_id))
        assert [s for _, s, _ in statuses(uri)] == ["FINISHED"]
        check_work(engine, {job_id: job}, uri)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        check_repeated(engine, engine.queue.get(job_id))
        check_work(engine, {job_id: job}, uri)
    finally:
        engine.close()


def check_repeated(engine, job):
    """A worker lost after its last deed and before its last word: the next finds all done, and says the same."""
    folder = engine._folder(job.id)
    said = folder.result(job.attempt)["value"]
    again = perform(engine.workspace, engine.queue, replace(job, attempt=job.attempt + 1), folder)
    assert again["run_id"] == said["run_id"]
    assert again["predictions"] == said["predictions"], "to the very time stamp"
    (folder.path / "predict.json").unlink()
    with pytest.raises(SinkError, match="exists already"):
        perform(engine.workspace, engine.queue, replace(job, attempt=job.attempt + 1), folder)


def waiting_or_running(engine, ids):
    return any(not engine.queue.get(i).has_ended for i in ids)


def retry_failed(engine, ids):
    """Give lost jobs another chance; once all are completed there is nothing left to disturb."""
    failed = [i for i in ids if engine.queue.get(i).status == "FAILED"]
    for i in failed:
        engine.retry(i)
    return not failed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7])
def test_ten_jobs_survive_thirty_kills_of_workers_engine_and_mlflow(toy, seed):
    engine = Engine(toy)
    killer = Killer(toy, seed, "--mlflow-port", "5450")
    quick = {"epochs": 3}
    ids = []
    for i in range(10):
        kind = ["train", "train_predict"][i % 2]
        spec = {"task": "Buys", "parameters": quick, **({"into": f"P{i}"} if kind == "train_predict" else {})}
        ids.append(engine.submit(kind, spec)["id"])
    killer.up()
    try:
        victims = ["worker"] * 16 + ["engine"] * 10 + ["mlflow"] * 4
        killer.random.shuffle(victims)
        for victim in victims:
            until(lambda: waiting_or_running(engine, ids) or retry_failed(engine, ids), 300)
            if victim == "worker":
                until(lambda: engine.queue.running() or not waiting_or_running(engine, ids), 300)
            time.sleep(killer.random.uniform(0.2, 8.0))
            killer.strike(engine, victim)
        jobs = settle(engine, killer, ids, 900)
        check_ends(jobs)
        record = until(lambda: json.loads((engine.workspace / "mlflow.json").read_text()), 60)
        check_work(engine, jobs, record["url"])
        print(killer.killed, Counter(j["status"] for j in jobs.values()))
    finally:
        killer.down()
        engine.close()
        from foreknow.track.server import stop_unused

        stop_unused(engine.workspace)
