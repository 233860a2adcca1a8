"""The guard: closes an MLflow run whose process was killed.

A killed process can't say so, and MLflow would show its run as Running for ever. So a run's process starts
``python -m foreknow.track.guard`` holding the read end of a pipe. However the process ends, the pipe closes; if the
run isn't closed by then, the guard marks it KILLED. Then it stops the MLflow server if the dead process owned one.

Standard library only: it must be small, and start and end quickly.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

__all__ = ["Guard"]


class Guard:
    """Starts and dismisses a guard process.

    Args:
        url: Address of the tracking server.
        run_id: The run to close.
        server_pid: Process group of an MLflow server to stop afterwards, if this process owns it.
    """

    def __init__(self, url: str, run_id: str, server_pid: int | None = None) -> None:
        read, self._write = os.pipe()
        command = [sys.executable, "-I", "-S", __file__, url, run_id, str(server_pid or 0)]
        self._process = subprocess.Popen(
            command, stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(read)

    def dismiss(self) -> None:
        """The run is closed properly: the guard may go."""
        if self._write < 0:
            return
        os.write(self._write, b"done")
        os.close(self._write)
        self._write = -1
        self._process.wait(timeout=30)


def _call(url: str, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def close_run(url: str, run_id: str, *, attempts: int = 5) -> bool:
    """Mark a run KILLED unless it is closed already. Returns whether the server could be asked."""
    for attempt in range(attempts):
        try:
            answer = _call(f"{url}/api/2.0/mlflow/runs/get?run_id={run_id}", "GET")
            if answer["run"]["info"]["status"] in ("RUNNING", "SCHEDULED"):
                now = int(time.time() * 1000)
                update = {"run_id": run_id, "status": "KILLED", "end_time": now}
                _call(f"{url}/api/2.0/mlflow/runs/update", "POST", update)
            return True
        except (urllib.error.URLError, OSError, KeyError):
            time.sleep(0.5 * (attempt + 1))
    return False


def main() -> None:
    """Wait for the pipe to close, then do what is left to do."""
    url, run_id, server_pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
    said = sys.stdin.buffer.read()
    if said == b"done":
        return
    close_run(url, run_id)
    if server_pid:
        try:
            os.killpg(server_pid, 15)
        except ProcessLookupError:
            return


if __name__ == "__main__":
    main()
