"""Which engine a client speaks to."""

import socket
import subprocess
import sys

import pytest

from foreknow.client import Client
from foreknow.client.http import HTTPOperations
from foreknow.engine.engine import Engine
from foreknow.errors import AccessError, ConfigError, EngineError
from foreknow.testing.engines import NOWHERE


def test_a_client_of_a_project_is_its_engine_until_it_is_closed(toy):
    with Client(toy, tracking_uri=NOWHERE) as client:
        assert client.health()["is_running"]
        with pytest.raises(EngineError, match=r"runs on .* already at no address"):
            Client(toy, tracking_uri=NOWHERE)
    with Client(toy, tracking_uri=NOWHERE) as client:
        assert client.health()["is_running"]


def test_a_client_of_a_project_finds_the_engine_that_runs(toy, monkeypatch):
    from foreknow.service.app import create_app
    from foreknow.service.server import HTTPServer, listen

    monkeypatch.setenv("FOREKNOW_TOKEN", "0123456789abcdef")
    engine = Engine(toy, tracking_uri=NOWHERE)
    server = HTTPServer(create_app(engine, token="0123456789abcdef"), listen(port=0)).start()
    engine.start(address=server.address)
    try:
        with Client(toy) as client:
            assert isinstance(client._operations, HTTPOperations)
            assert client.source()["dataset"] == "Toy"
        with Client(toy, token="another-token-0000") as client, pytest.raises(AccessError, match="token is missing"):
            client.source()
    finally:
        server.stop()
        engine.close()


def test_a_wrong_address_is_told():
    for wrong in ("htp://x", "http://", "ftp://host"):
        with pytest.raises(ConfigError, match="is no address of an engine"):
            Client(wrong)


def test_an_engine_that_is_not_there_is_told_with_what_to_do():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{s.getsockname()[1]}"
    with Client(address) as client, pytest.raises(EngineError, match=r"can't be reached.*\nHint: .*foreknow up"):
        client.health()


def test_a_server_that_is_no_engine_is_told(noting):
    with Client(noting) as client, pytest.raises(EngineError, match="answered 404"):
        client.health()


@pytest.fixture
def noting():
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_client_over_http_loads_nothing_heavy():
    heavy = "torch mlflow numba sklearn duckdb pyarrow pandas fastapi uvicorn"
    code = (
        "import sys, foreknow as fk\nfk.Client('http://127.0.0.1:1')\n"
        f"print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
