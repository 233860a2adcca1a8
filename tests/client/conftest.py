"""One suite, two clients: an engine in this process, and the same engine over HTTP."""

import pytest

from foreknow.client import Client
from foreknow.client.http import HTTPOperations
from foreknow.engine.engine import Engine
from foreknow.engine.executor import LocalExecutor
from foreknow.service.app import create_app
from foreknow.service.server import HTTPServer, listen
from foreknow.testing.engines import NOWHERE
from foreknow.testing.fake_worker import fake_command

TOKEN = "a-token-of-some-length"


@pytest.fixture
def engine(toy):
    """An engine whose workers pretend."""
    executor = LocalExecutor(toy / ".foreknow", command=fake_command)
    made = Engine(toy, tracking_uri=NOWHERE, executor=executor, grace_s=1.0, allow_paths=()).start()
    yield made
    made.close()


@pytest.fixture
def server(engine):
    """The engine over HTTP."""
    started = HTTPServer(create_app(engine, token=TOKEN), listen(port=0)).start()
    yield started
    started.stop()


@pytest.fixture
def remote(server):
    """Over HTTP."""
    with Client(server.address, token=TOKEN) as client:
        yield client


@pytest.fixture(params=["in process", "http"])
def client(request, engine):
    """Both kinds."""
    if request.param == "in process":
        yield Client(operations=engine)
        return
    server = request.getfixturevalue("server")
    with Client(operations=HTTPOperations(server.address, token=TOKEN)) as made:
        yield made
