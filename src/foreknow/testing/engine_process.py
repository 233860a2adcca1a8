"""An engine in a process of its own, to be killed.

python -m foreknow.testing.engine_process PROJECT [--fake] [--tracking-uri URI]
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from foreknow.engine.engine import Engine, workspace_of
from foreknow.engine.executor import LocalExecutor
from foreknow.testing.fake_worker import fake_command

__all__ = ["main"]


def main() -> None:
    """Run jobs until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--fake", action="store_true")
    parser.add_argument("--tracking-uri")
    parser.add_argument("--mlflow-port", type=int, default=5400)
    given = parser.parse_args()
    executor = LocalExecutor(workspace_of(given.project), command=fake_command) if given.fake else None
    Engine(
        given.project, tracking_uri=given.tracking_uri, executor=executor, mlflow_port=given.mlflow_port, grace_s=3.0
    ).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
