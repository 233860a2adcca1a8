"""Tell tables that hold tasks or predictions from those a model may learn from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from foreknow.schema.profile import TableProfile

__all__ = ["left_out"]

_SPLIT = re.compile(r"^(?P<stem>.+)_(?P<split>train|val|valid|validation|test)$", re.IGNORECASE)
_OUR_COLUMNS = {"run_id", "model_version", "predicted_at"}


def left_out(profiles: Mapping[str, TableProfile]) -> dict[str, str]:
    """Tables that hold tasks or predictions, with what tells so."""
    found: dict[str, str] = {}
    splits = {n: m for n in profiles if (m := _SPLIT.match(n))}
    for name, t in profiles.items():
        columns = {c.name.lower() for c in t.columns}
        if columns >= _OUR_COLUMNS or name.rpartition(".")[2].upper().startswith("PREDICTIONS_"):
            found[name] = "it holds predictions"
        elif "tasks" in name.lower().split(".")[:-1]:
            found[name] = "it is in the schema of tasks"
        elif m := splits.get(name):
            # "blood_test" alone is a fact; "churn_test" beside "churn_train" is a split.
            stem, split = m["stem"].lower(), m["split"].lower()
            if split != "test" or any(o["stem"].lower() == stem for n, o in splits.items() if n != name):
                found[name] = f"it is named like the {split} table of task '{m['stem']}'"
    return found
