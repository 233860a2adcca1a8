"""Seeds: the rows to predict for, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Seeds"]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Rows to predict for: row ids of the entity table, ``(N,)`` int32, and Unix seconds, ``(N,)`` int64."""

    row: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: np.ndarray) -> Seeds:
        """Some of the seeds, in the order given."""
        return Seeds(row=self.row[rows], time=self.time[rows])
