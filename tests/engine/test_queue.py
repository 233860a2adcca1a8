"""The queue: order, claims, and states nobody can change twice."""

import sqlite3
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknow.engine.job import JobStatus
from foreknow.engine.migrations import MIGRATIONS
from foreknow.engine.process import Process
from foreknow.engine.queue import JobQueue
from foreknow.errors import EngineError, JobError, StoreError, UnknownJobError


def put(queue, **options):
    job = queue.add("train", {"task": "Buys"}, **options)
    queue.enqueue(job.id)
    return job.id


def test_jobs_are_claimed_by_priority_then_in_order_of_arrival(queue):
    ids = [put(queue, priority=p) for p in (0, 5, 0, 5)]
    assert [queue.claim(9).id for _ in ids] == [ids[1], ids[3], ids[0], ids[2]]
    assert queue.claim(9) is None


@given(priorities=st.lists(st.integers(-3, 3), max_size=12), workers=st.integers(1, 4))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_never_more_jobs_run_than_workers_and_none_twice(tmp_path_factory, priorities, workers):
    queue = JobQueue(tmp_path_factory.mktemp("q") / "engine.db")
    ids = {put(queue, priority=p) for p in priorities}
    seen = []
    while (job := queue.claim(workers)) is not None or queue.running():
        if job is not None:
            seen.append(job)
        assert len(queue.running()) <= workers
        if job is None or len(queue.running()) == workers:
            assert queue.finish(queue.running()[0], JobStatus.COMPLETED)
    assert sorted(j.id for j in seen) == sorted(ids)
    assert [j.priority for j in seen] == sorted(priorities, reverse=True)
    queue.close()


def test_jobs_of_one_device_do_not_hold_up_another(queue):
    first, second, other = put(queue), put(queue), put(queue, device="cuda:0")
    assert [queue.claim(1).id, queue.claim(1).id] == [first, other]
    assert queue.claim(1) is None
    assert queue.position(queue.get(second)) == 0


def test_two_queues_on_one_file_never_claim_the_same_job(tmp_path):
    queues = [JobQueue(tmp_path / "engine.db") for _ in range(3)]
    ids = {put(queues[0]) for _ in range(30)}
    claimed = []

    def work(queue):
        while (job := queue.claim(99)) is not None:
            claimed.append(job.id)

    threads = [threading.Thread(target=work, args=(q,)) for q in queues]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(claimed) == sorted(ids)
    for q in queues:
        q.close()


def test_an_old_attempt_can_change_nothing(queue):
    put(queue)
    old = queue.claim(1)
    assert queue.requeue(old, is_lost=True)
    new = queue.claim(1)
    assert (new.attempt, new.lost) == (2, 1)
    assert not queue.finish(old, JobStatus.COMPLETED)
    assert not queue.set_run(old, "run")
    assert not queue.set_process(old, Process(pid=1, start=1.0, boot="b"))
    assert not queue.request_stop(old, "cancel")
    assert queue.finish(new, JobStatus.FAILED, {"message": "no"})
    assert not queue.finish(new, JobStatus.COMPLETED), "what has ended stays as it ended"
    assert queue.get(new.id).error == {"message": "no"}


def test_a_waiting_job_is_canceled_at_once_a_running_one_is_asked_to_stop(queue):
    waiting, running = put(queue), put(queue, priority=1)
    queue.claim(1)
    assert queue.cancel(waiting).status is JobStatus.CANCELED
    assert (queue.cancel(running).status, queue.get(running).stop) == (JobStatus.RUNNING, "cancel")
    with pytest.raises(JobError, match="has ended: CANCELED"):
        queue.cancel(waiting)


def test_the_first_reason_to_stop_stands_but_a_person_has_the_last_word(queue):
    put(queue)
    job = queue.claim(1)
    queue.request_stop(job, "timeout")
    queue.request_stop(job, "suspend")
    assert queue.get(job.id).stop == "timeout"
    assert queue.cancel(job.id).stop == "cancel"


def test_only_failed_and_canceled_jobs_are_retried(queue):
    job_id = put(queue)
    with pytest.raises(JobError, match="it is QUEUED\nHint: cancel it first"):
        queue.retry(job_id)
    job = queue.claim(1)
    queue.set_run(job, "r1")
    queue.finish(job, JobStatus.FAILED, {})
    again = queue.retry(job_id)
    assert (again.status, again.run_id, again.error, again.lost) == (JobStatus.QUEUED, "r1", None, 0)
    queue.finish(queue.claim(1), JobStatus.CANCELED)
    assert queue.retry(job_id, fresh=True).run_id is None
    queue.finish(queue.claim(1), JobStatus.COMPLETED)
    with pytest.raises(JobError, match="it is COMPLETED\nHint: submit a new job"):
        queue.retry(job_id)


def test_a_job_is_found_by_the_beginning_of_its_id(queue):
    job_id = put(queue)
    assert queue.get(job_id[:6]).id == job_id
    for wrong in ("nope", job_id[:3], "*", "????"):
        with pytest.raises(UnknownJobError, match="there is no job"):
            queue.get(wrong)


def test_everything_survives_closing(tmp_path):
    queue = JobQueue(tmp_path / "engine.db", clock=lambda: 1_700_000_000.0)
    job = queue.add("predict", {"into": "ü"}, device="cuda:1", priority=-2, timeout_s=7.5)
    queue.close()
    again = JobQueue(tmp_path / "engine.db")
    assert again.get(job.id) == job
    assert again.enqueue_created() == 1
    assert again.counts()["QUEUED"] == 1
    again.close()


def test_a_clock_that_jumps_back_changes_no_order(tmp_path):
    times = iter([300.0, 200.0, 100.0, *[50.0] * 9])
    queue = JobQueue(tmp_path / "engine.db", clock=lambda: next(times))
    ids = [put(queue) for _ in range(3)]
    assert [j.id for j in queue.jobs()] == ids[::-1]
    assert [queue.claim(9).id for _ in ids] == ids
    queue.close()


def test_jobs_are_listed_by_status(queue):
    ids = [put(queue) for _ in range(3)]
    queue.claim(1)
    assert [j.id for j in queue.jobs(statuses=[JobStatus.QUEUED])] == [ids[2], ids[1]]
    assert len(queue.jobs(limit=2)) == 2


def test_a_queue_of_a_newer_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "engine.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="knows versions up to"):
        JobQueue(tmp_path / "engine.db")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"can't be opened: .*\nHint: is the disk full"):
        JobQueue(tmp_path / "file" / "engine.db")


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    queue = JobQueue(tmp_path / "engine.db")
    first = put(queue)
    (pages,) = queue._writer.execute("PRAGMA page_count").fetchone()
    queue._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(EngineError, match="can't be written: database or disk is full"):
        queue.add("train", {"task": "x" * 100_000})
    queue._writer.execute("PRAGMA max_page_count = 1000000")
    assert [j.id for j in queue.jobs()] == [first]
    assert queue.claim(1).id == first
    queue.close()
