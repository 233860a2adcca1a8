"""Jobs from submission to their end, with workers that pretend."""

import json
import os
import signal
import time

import psutil
import pytest

from foreknow.engine.engine import Engine, find_engine
from foreknow.engine.executor import LocalExecutor
from foreknow.errors import AccessError, ConfigError, EngineError, JobError, UnknownJobError
from foreknow.testing.engines import ended, until
from foreknow.testing.engines import submit_fake as submit
from foreknow.testing.fake_worker import fake_command


def test_a_job_completes_with_its_result_and_log(engine):
    job_id = submit(engine, {"say": "grüße"})
    job = ended(engine, job_id)
    assert (job["status"], job["result"]["did"], job["attempt"]) == ("COMPLETED", "grüße", 1)
    assert "".join(engine.stream_log(job_id)) == "grüße\n"
    assert job["started"] <= job["ended"]


def test_an_error_is_told_as_a_local_user_gets_it(engine):
    job = ended(engine, submit(engine, {"error": "there is no column 'prise'"}))
    assert job["status"] == "FAILED"
    assert (job["error"]["type"], job["error"]["message"]) == ("TaskError", "there is no column 'prise'\nHint: mend it")
    assert "there is no column 'prise'" in "".join(engine.stream_log(job["id"]))


def test_a_bug_leaves_its_traceback_in_the_log(engine):
    job = ended(engine, submit(engine, {"bug": "oops"}))
    assert job["error"]["type"] == "ZeroDivisionError"
    assert "Traceback" in "".join(engine.stream_log(job["id"]))


def test_lack_of_memory_is_named_with_what_to_lower(engine):
    job = ended(engine, submit(engine, {"memory": True}))
    assert job["error"]["type"] == "ResourceError"
    assert "out of memory" in job["error"]["message"]
    assert "lower batch_size, num_neighbors or channels" in job["error"]["message"]


def test_one_job_runs_at_a_time(engine):
    first, second = submit(engine, {"sleep": 0.5}), submit(engine)
    until(lambda: engine.job(first)["status"] == "RUNNING")
    assert engine.job(second)["status"] == "QUEUED"
    assert engine.job(second)["queue_position"] == 0
    assert ended(engine, second)["started"] >= ended(engine, first)["ended"]


def test_more_workers_run_more_at_a_time(engines):
    engine = engines(workers=2).start()
    ids = [submit(engine, {"sleep": 20}) for _ in range(3)]
    until(lambda: [engine.job(i)["status"] for i in ids] == ["RUNNING", "RUNNING", "QUEUED"])
    for i in ids:
        engine.cancel(i)


def test_a_running_job_is_canceled_in_order(engine):
    job_id = submit(engine, {"sleep": 60})
    until(lambda: engine.queue.get(job_id).pid is not None and engine._folder(job_id).is_held())
    assert engine.cancel(job_id)["stopping"] == "cancel"
    assert ended(engine, job_id, 20)["status"] == "CANCELED"
    assert "done" not in "".join(engine.stream_log(job_id))


def test_a_worker_that_does_not_listen_is_killed_after_the_grace(engine):
    job_id = submit(engine, {"say": "deaf", "stubborn": 60})
    until(lambda: "deaf" in engine.log(job_id)["text"])
    time.sleep(0.2)  # it ignores SIGTERM from here on
    began = time.monotonic()
    engine.cancel(job_id)
    assert ended(engine, job_id, 20)["status"] == "CANCELED"
    assert time.monotonic() - began > 1.0
    assert not psutil.pid_exists(engine.queue.get(job_id).pid)


def test_a_job_that_takes_too_long_is_stopped_and_says_so(engine):
    job = ended(engine, submit(engine, {"sleep": 60}, timeout_s=0.5))
    assert job["status"] == "FAILED"
    assert "longer than its limit of 0.5 s" in job["error"]["message"]


def test_a_lost_worker_is_replaced_once_and_goes_on_where_it_was(engine):
    job_id = submit(engine, {"steps": 40, "step_s": 0.05})
    until(lambda: (engine.job(job_id)["progress"] or {}).get("epoch", 0) >= 3)
    os.kill(engine.queue.get(job_id).pid, signal.SIGKILL)
    job = ended(engine, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)
    assert job["result"]["begun_at"] >= 3
    assert "the worker was lost (killed by signal 9)" in "".join(engine.stream_log(job_id))


@pytest.mark.parametrize(("do", "how"), [({"die": 2}, "killed by signal 9"), ({"exit": 3}, "it left with status 3")])
def test_a_worker_lost_twice_ends_the_job_with_the_reason(engine, do, how):
    job = ended(engine, submit(engine, do))
    assert (job["status"], job["attempt"], job["error"]["type"]) == ("FAILED", 2, "JobError")
    assert f"lost 2 times, the last time {how}" in job["error"]["message"]
    again = engine.retry(job["id"])
    assert again["status"] in ("QUEUED", "RUNNING")


def test_a_retried_job_runs_again(engine):
    job_id = submit(engine, {"sleep": 60})
    until(lambda: engine._folder(job_id).is_held())
    engine.cancel(job_id)
    ended(engine, job_id)
    with pytest.raises(JobError, match="has ended"):
        engine.cancel(job_id)
    engine.retry(job_id)
    until(lambda: engine.job(job_id)["status"] == "RUNNING")
    engine.cancel(job_id)
    assert ended(engine, job_id)["attempt"] == 2


def test_a_second_engine_refuses_with_the_address_of_the_first(engines):
    first = engines().start(address="http://127.0.0.1:1234")
    second = engines()
    with pytest.raises(EngineError, match=r"already at http://127\.0\.0\.1:1234 \(process \d+\)"):
        second.start()
    assert find_engine(first.workspace)["address"] == "http://127.0.0.1:1234"
    first.close()
    assert find_engine(first.workspace) is None
    second.start()


def test_jobs_that_run_when_the_engine_ends_go_on_with_the_next(engines):
    first = engines(grace_s=2.0).start()
    job_id = submit(first, {"steps": 60, "step_s": 0.05})
    until(lambda: (first.job(job_id)["progress"] or {}).get("epoch", 0) >= 2)
    first.close()
    second = engines()
    assert (second.job(job_id)["status"], second.queue.get(job_id).lost) == ("QUEUED", 0)
    second.start()
    job = ended(second, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)
    assert job["result"]["begun_at"] >= 2


def test_a_worker_outlives_its_engine_and_is_adopted(engines):
    first = engines().start()
    job_id = submit(first, {"steps": 30, "step_s": 0.05})
    until(lambda: first._folder(job_id).is_held())
    first.close(suspend=False)
    second = engines().start()
    job = ended(second, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 1)


def test_an_adopted_worker_can_be_canceled(engines):
    first = engines().start()
    job_id = submit(first, {"sleep": 60})
    until(lambda: first._folder(job_id).is_held())
    first.close(suspend=False)
    second = engines(grace_s=1.0).start()
    second.cancel(job_id)
    assert ended(second, job_id, 15)["status"] == "CANCELED"


def test_a_result_written_while_no_engine_ran_counts(engines):
    first = engines().start()
    job_id = submit(first, {"sleep": 0.8})
    until(lambda: first._folder(job_id).is_held())
    first.close(suspend=False)
    until(lambda: not first._folder(job_id).is_held())
    assert ended(engines().start(), job_id)["status"] == "COMPLETED"
    assert len((first.workspace / "done.txt").read_text().splitlines()) == 1


def test_an_engine_killed_between_claim_and_start_starts_the_job_again(engines):
    engine = engines()
    job_id = submit(engine)
    assert engine.queue.claim(1).id == job_id  # and here it was killed
    engine.start()
    job = ended(engine, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)


def test_a_worker_of_an_earlier_attempt_that_comes_late_does_nothing(engines):
    """Its engine was killed just after starting it, and took no note of it."""
    engine = engines()
    job_id = submit(engine)
    late = engine.queue.claim(1)
    assert engine.queue.requeue(late, is_lost=False)
    engine.start()
    job = ended(engine, job_id)
    executor = LocalExecutor(engine.workspace, command=fake_command)
    executor.start(late)
    assert executor.wait(late, 20).code == 0
    assert engine.job(job_id) == job
    assert (engine.workspace / "done.txt").read_text().splitlines() == [f"{job_id} 2"]


def test_a_worker_nobody_noted_is_found_by_its_lock(engines):
    engine = engines()
    job_id = submit(engine, {"steps": 30, "step_s": 0.05})
    claimed = engine.queue.claim(1)
    executor = LocalExecutor(engine.workspace, command=fake_command)
    executor.start(claimed)  # and the engine was killed here
    executor.abandon()
    until(lambda: engine._folder(job_id).is_held())
    engine.start()
    job = ended(engine, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
    assert (engine.workspace / "done.txt").read_text().splitlines() == [f"{job_id} 1"]


def test_a_number_that_means_another_process_now_is_no_worker(engines):
    engine = engines()
    job_id = submit(engine)
    job = engine.queue.claim(1)
    engine.queue._change(
        "UPDATE job SET pid = ?, pid_start = ?, boot_id = 'another' WHERE id = ?", (os.getpid(), 1.0, job.id)
    )
    engine.start()
    assert ended(engine, job_id)["attempt"] == 2


def test_a_half_written_result_is_no_result(engines):
    engine = engines()
    job_id = submit(engine)
    engine.queue.claim(1)
    (engine.workspace / "jobs" / job_id / "result.json").write_text('{"attempt": 1, "outcome": "COMPL')
    engine.start()
    assert ended(engine, job_id)["attempt"] == 2


def test_a_log_is_followed_until_the_end(engine):
    job_id = submit(engine, {"say": "one", "sleep": 0.3})
    assert "".join(engine.stream_log(job_id, follow=True)) == "one\n"
    assert engine.job(job_id)["status"] in ("RUNNING", "COMPLETED")


def test_what_is_wrong_with_a_job_is_told_all_at_once_before_it_is_taken(engine):
    with pytest.raises(ConfigError, match=r"there is no job kind 'trian'\nHint: did you mean 'train'\?"):
        engine.submit("trian", {})
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*task is missing.*did you mean 'task'"):
        engine.submit("train", {"tsak": "Buys"})
    with pytest.raises(ConfigError, match=r"did you mean 'epochs'"):
        engine.submit("train", {"task": "Buys", "parameters": {"epoch": 3}})
    with pytest.raises(ConfigError, match="exactly one of a run and a model"):
        engine.submit("predict", {"into": "P"})
    with pytest.raises(ConfigError, match="a table and a time were both given"):
        engine.submit("predict", {"into": "P", "run_id": "r", "table": "t", "at": "2024-01-01"})
    with pytest.raises(ConfigError, match="can't be the name of a registered model"):
        engine.submit("train", {"task": "Buys", "register_as": "a/b"})
    with pytest.raises(ConfigError, match="has no model to belong to"):
        engine.submit("train", {"task": "Buys", "alias": "champion"})
    with pytest.raises(ConfigError, match="timeout_s is -1"):
        submit(engine, timeout_s=-1)
    with pytest.raises(ConfigError, match="there is no status 'DONE'"):
        engine.jobs(statuses=["DONE"])
    with pytest.raises(UnknownJobError):
        engine.job("feedbeef")
    assert engine.jobs() == []


def test_paths_of_requests_stay_where_they_may(engines, tmp_path):
    engine = engines(allow_paths=[tmp_path / "extra"])
    inside = {"into": "P", "run_id": "r"}
    for to in ("results", str(tmp_path / "extra" / "x")):
        assert engine.submit("predict", {**inside, "to": to})["spec"]["to"].startswith("/")
    for to in ("../elsewhere", "/etc", str(tmp_path / "extra" / ".." / "x")):
        with pytest.raises(AccessError, match=r"outside of the project\nHint: .*--allow-path"):
            engine.submit("predict", {**inside, "to": to})
    with pytest.raises(AccessError):
        engine.submit("train", {"task": "Buys", "project": "/etc/passwd"})
    (engine.project / "link").symlink_to("/etc")
    with pytest.raises(AccessError):
        engine.submit("predict", {**inside, "to": "link/x"})


def test_a_job_that_cannot_be_started_fails_with_the_reason(engines, toy):
    def command(workspace, job):
        return ["/nowhere/python"]

    engine = engines(executor=LocalExecutor(toy / ".foreknow", command=command)).start()
    job = ended(engine, submit(engine))
    assert "can't be started" in job["error"]["message"]


def test_nothing_starts_before_what_jobs_need_is_ready(engines):
    engine = engines()
    ready = []
    engine._scheduler._is_ready = lambda: bool(ready)
    engine.start()
    job_id = submit(engine)
    time.sleep(0.5)
    assert engine.job(job_id)["status"] == "QUEUED"
    ready.append(True)
    assert ended(engine, job_id)["status"] == "COMPLETED"


def test_trouble_of_the_scheduler_is_told_and_passes(engine, monkeypatch, caplog):
    claim = engine.queue.claim

    def full(workers):
        raise EngineError("the disk is full")

    monkeypatch.setattr(engine.queue, "claim", full)
    until(lambda: engine.health()["status"] == "degraded")
    assert engine.health()["problem"] == "the disk is full"
    monkeypatch.setattr(engine.queue, "claim", claim)
    assert ended(engine, submit(engine))["status"] == "COMPLETED"
    assert engine.health()["status"] == "ok"


def test_the_token_of_the_engine_is_no_business_of_workers(toy, monkeypatch):
    monkeypatch.setenv("FOREKNOW_TOKEN", "secret")
    assert "FOREKNOW_TOKEN" not in LocalExecutor(toy)._environment


def test_a_workspace_that_cannot_be_written_is_told(toy):
    (toy / ".foreknow").write_text("in the way")
    with pytest.raises(EngineError, match="can't be opened"):
        Engine(toy)


def test_plain_values_only(engine):
    job_id = submit(engine)
    ended(engine, job_id)
    for value in (engine.job(job_id), engine.jobs(), engine.health(), engine.tasks(), engine.source()):
        assert json.loads(json.dumps(value)) == value
