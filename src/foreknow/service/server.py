"""A server for the application, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn

from foreknow.errors import EngineError
from foreknow.service.access import Access

__all__ = ["HTTPServer", "listen"]

FIRST_PORT = 8770
PORTS_TRIED = 200


def listen(host: str = "127.0.0.1", port: int = FIRST_PORT) -> socket.socket:
    """A socket that listens on the first free port from `port` on. 0 lets the system choose.

    Raises:
        EngineError: None is free, or the address isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(port + PORTS_TRIED, 65536) if port else 1
    reason: OSError | None = None
    for number in range(port, last):
        # TCP is named, or asyncio takes it for another kind of socket and leaves Nagle's algorithm on: 40 ms a call
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(256)
        except OSError as e:
            found.close()
            reason = e
            continue
        return found
    raise EngineError(
        f"can't listen on {host}, ports {port} to {last - 1}: {reason}", hint="choose another with --port"
    )


class HTTPServer:
    """Serves an application on a listening socket.

    Args:
        app: The application.
        listening: From `listen`.
    """

    def __init__(self, app: Access, listening: socket.socket) -> None:
        self._socket = listening
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def address(self) -> str:
        """Where it is reached from this machine."""
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def start(self, timeout_s: float = 30.0) -> HTTPServer:
        """Serve, and return when requests are taken.

        Raises:
            EngineError: It doesn't begin in time.
        """
        self._thread.start()
        end = time.monotonic() + timeout_s
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise EngineError(f"the HTTP server at {self.address} doesn't start")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Finish what is being answered, for two seconds at most, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
