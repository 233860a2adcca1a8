"""The job table's history: numbered steps, each applied once, in order, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from foreknow.errors import StoreError

__all__ = ["MIGRATIONS", "migrate"]


def _jobs(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE job (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            spec TEXT NOT NULL,
            status TEXT NOT NULL CHECK
                (status IN ('CREATED', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
            priority INTEGER NOT NULL DEFAULT 0,
            timeout_s REAL,
            device TEXT NOT NULL,
            pid INTEGER,
            pid_start REAL,
            boot_id TEXT,
            run_id TEXT,
            attempt INTEGER NOT NULL DEFAULT 0,
            lost INTEGER NOT NULL DEFAULT 0,
            stop TEXT CHECK (stop IN ('cancel', 'timeout', 'suspend')),
            created REAL NOT NULL,
            started REAL,
            ended REAL,
            error TEXT
        )"""
    )
    connection.execute("CREATE INDEX job_waiting ON job (status, device, priority DESC, seq)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_jobs,)
"""Never edited once released; a change of the table is a new step at the end."""


def migrate(connection: sqlite3.Connection) -> int:
    """Bring a database up to date. Two processes may try at once: one does it, the other finds it done.

    Returns:
        The version it is at.

    Raises:
        StoreError: A newer Foreknow made it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the job queue is of version {version}, this Foreknow knows versions up to {len(MIGRATIONS)}",
                hint="use the newer Foreknow that made it, or another workspace",
            )
        for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
            step(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return len(MIGRATIONS)
