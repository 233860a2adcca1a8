"""Engines whose workers only pretend, and the toy project for those that don't."""

import pytest

from foreknow.engine.engine import Engine
from foreknow.engine.executor import LocalExecutor
from foreknow.engine.queue import JobQueue
from foreknow.testing.engines import NOWHERE
from foreknow.testing.fake_worker import fake_command


@pytest.fixture
def queue(tmp_path):
    made = JobQueue(tmp_path / "engine.db")
    yield made
    made.close()


@pytest.fixture
def engines(toy):
    """Make engines of the toy project whose workers pretend. All are closed at the end."""
    made = []

    def make(**options):
        workspace = toy / ".foreknow"
        options.setdefault("executor", LocalExecutor(workspace, command=fake_command))
        engine = Engine(toy, tracking_uri=NOWHERE, **options)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(engines):
    """One that runs."""
    return engines(grace_s=1.0).start()
