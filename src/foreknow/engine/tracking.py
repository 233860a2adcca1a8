"""The tracking server the engine's jobs write to: started, watched, started again when it is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from foreknow.errors import TrackingError
from foreknow.track.server import MLflowServer

__all__ = ["Tracking"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


class Tracking:
    """Keeps a tracking server up.

    Args:
        workspace: Whose server.
        uri: A server somebody else keeps up; then there is nothing to do.
        port: Where to try first.
        on_ready: Called with the address whenever the server has begun to answer.
    """

    def __init__(
        self, workspace: Path, uri: str | None, *, port: int, on_ready: Callable[[str], None] = lambda url: None
    ) -> None:
        self.uri = uri
        self._server = MLflowServer(workspace, port=port) if uri is None else None
        self._on_ready = on_ready
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: str | None = None

    @property
    def url(self) -> str | None:
        """Its address; None before it is known."""
        return self.uri if self._server is None else (self._server.url or None)

    @property
    def is_ready(self) -> bool:
        """Whether jobs can use it."""
        return self._ready.is_set()

    def start(self) -> None:
        """Start it, and watch it in the background. Doesn't wait."""
        if self._server is not None:
            self._server.start()
        self._thread = threading.Thread(target=self._watch, name="tracking", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is ready; returns whether it is."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        """Leave the server; it goes down unless a worker still uses it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._server is not None:
            self._server.stop()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            if self._server is None:
                self._announce()
                return
            try:
                if self._ready.is_set() and not self._server.is_running:
                    logger.warning("MLflow at %s is gone and is started again", self._server.url)
                    self._ready.clear()
                    self._server.restart()
                if not self._ready.is_set():
                    self._await(self._server)
            except (TrackingError, OSError) as e:
                if str(e) != self.problem:
                    logger.warning("MLflow: %s", e)
                self.problem = str(e)
                if not self._server.is_running and not self._stopping.is_set():
                    self._server.restart()
            self._stopping.wait(LOOK_EVERY_S)

    def _await(self, server: MLflowServer) -> None:
        """Wait for the server in small pieces, so that stopping doesn't wait for it."""
        for _ in range(240):
            if self._stopping.is_set():
                return
            try:
                server.wait(timeout=1.0)
            except TrackingError:
                if not server.is_running:
                    raise
                continue
            self._announce()
            return
        raise TrackingError(f"the MLflow server at {server.url} doesn't answer", hint=f"see '{server.log_path}'")

    def _announce(self) -> None:
        self.problem = None
        assert self.url is not None
        try:
            self._on_ready(self.url)
        except Exception as e:  # what is left to do there is tried again when it is next ready
            logger.warning("%s", e)
        self._ready.set()
