"""Plain values for JSON: what engine and client exchange, whether over HTTP or in one process."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["plain", "read_json", "write_json"]


def plain(value: Any) -> Any:
    """Anything as JSON knows it: moments as ISO text, numbers it doesn't know as None, what is left as text.

    Example:
        >>> plain({"at": dt.date(2024, 1, 31), "loss": float("nan"), "sizes": (1, 2)})
        {'at': '2024-01-31', 'loss': None, 'sizes': [1, 2]}
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return plain(value.tolist())
    return str(value)


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all, and onto the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        json.dump(plain(value), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote; None if there is nothing, or nothing whole."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
