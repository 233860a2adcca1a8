"""The application over an engine whose workers pretend, asked without a network."""

import pytest
from starlette.testclient import TestClient

from foreknow.engine.engine import Engine
from foreknow.engine.executor import LocalExecutor
from foreknow.service.app import create_app
from foreknow.testing.engines import NOWHERE
from foreknow.testing.fake_worker import fake_command


@pytest.fixture
def engine(toy):
    executor = LocalExecutor(toy / ".foreknow", command=fake_command)
    made = Engine(toy, tracking_uri=NOWHERE, executor=executor, allow_paths=())
    yield made
    made.close()


@pytest.fixture
def ask(engine):
    """Make a client of an application with these options."""

    def make(**options):
        app = create_app(engine, **options)
        return TestClient(app, base_url="http://127.0.0.1:8770", raise_server_exceptions=False)

    return make


@pytest.fixture
def http(ask):
    return ask()
