"""One real MLflow server for all tests here, MLflow in a file, and a server that only takes notes."""

import contextlib
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from foreknow.track.server import MLflowServer


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real server on loopback. Starting it takes ten seconds or more."""
    started = MLflowServer(tmp_path_factory.mktemp("server"), port=5300).start().wait()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database with all its tables, made once: making it takes seconds."""
    from foreknow.track.mlflow import import_mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    import_mlflow().MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking(empty_store, tmp_path):
    """A tracking store of one's own, in a file."""
    return f"sqlite:///{shutil.copyfile(empty_store, tmp_path / 'mlflow.db')}"


class NotingServer(ThreadingHTTPServer):
    """Speaks as much of MLflow's REST interface as a guard uses, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs = {}  # status by run id
        self.asked = []  # (method, path, authorization)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        run_id = self.path.rpartition("run_id=")[2]
        if self.path == "/health":
            self._answer({})
        elif run_id in self.server.runs:
            self._answer({"run": {"info": {"status": self.server.runs[run_id]}}})
        else:
            self._answer({"error_code": "RESOURCE_DOES_NOT_EXIST"}, status=404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.runs[body["run_id"]] = body["status"]
        self._answer({})

    def _answer(self, value, status=200):
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def noting():
    """A server that takes notes."""
    with NotingServer() as started:
        threading.Thread(target=started.serve_forever, args=(0.05,), daemon=True).start()
        yield started
        started.shutdown()


class Proxy:
    """Stands before the real server, and can be away for a while, as a server that is stopped and started again is."""

    def __init__(self, port):
        self._target = port
        self._sockets = set()
        self._listener = None
        self.port = 0
        self.up()
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self):
        with contextlib.suppress(OSError):  # down already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for s in list(self._sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        self._sockets.clear()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets |= {client, server}
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(server):
    """The real server behind a proxy that can go down."""
    started = Proxy(server.port)
    yield started
    started.down()
