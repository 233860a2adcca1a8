"""A bundle as an MLflow pyfunc model, defined by this very file ("models from code"): nothing is pickled.

MLflow runs this file when it loads the model, so it stands apart from the library: it may import everything, and
nothing imports it. The tables a prediction reads are those of the source the model was trained on, or of the one
named by ``FOREKNOW_SOURCE`` in the serving process; credentials are never part of a model. A server that runs for
long sees rows that are added meanwhile: the tables are read again when the source has changed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from foreknow.bundle import Bundle
from foreknow.errors import PredictionError
from foreknow.predict.predictor import Predictor
from foreknow.source.snapshot import open_source
from foreknow.task.table import read_task_table
from foreknow.types import TaskType


class ForeknowModel(PythonModel):
    """Scores entities by key and, optionally, time."""

    def load_context(self, context: Any) -> None:
        """Load the bundle and bind it to the tables."""
        self._bundle = Bundle.load(Path(context.artifacts["bundle"]))
        uri = os.environ.get("FOREKNOW_SOURCE") or self._bundle.info.get("source")
        if not uri:
            raise PredictionError(
                "the model doesn't know where its tables are", hint="set FOREKNOW_SOURCE to the database's path"
            )
        self._uri: str = uri
        home = os.environ.get("FOREKNOW_HOME")
        self._home = Path(home) if home else Path(tempfile.gettempdir()) / f"foreknow-serving-{os.getuid()}"
        self._bind()

    def _bind(self) -> None:
        """Read the tables as they are now."""
        source = open_source(self._uri)
        self._signatures = {t: source.signature(t) for t in self._bundle.schema.tables}
        self._predictor = Predictor(self._bundle, source, self._home)

    def _refresh(self) -> None:
        """Read the tables again if they may have changed."""
        source = open_source(self._uri)
        if any(source.signature(t) != signature for t, signature in self._signatures.items()):
            self._bind()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict for entities.

        Args:
            context: Unused.
            model_input: Entity key columns; the seed-time column if predictions are not for the latest time known.
            params: None are known.

        Returns:
            A row per input row: entity keys, then ``predicted_labels`` and ``probs``, or ``predicted_value``.

        Raises:
            PredictionError: Some rows can't be predicted for, such as those of entities nobody knows.
        """
        self._refresh()
        predictor = self._predictor
        task, labels = self._bundle.task, self._bundle.labels
        frame = model_input[[c for c in (*task.entity_columns, task.time) if c in model_input.columns]].copy()
        if task.time is not None:
            span = predictor.store.time_range
            latest = pd.Timestamp(span[1] if span else 0, unit="s")
            given = frame[task.time] if task.time in frame.columns else pd.Series(pd.NaT, frame.index)
            frame[task.time] = pd.to_datetime(given, utc=True).dt.tz_localize(None).fillna(latest)
        table = read_task_table(
            predictor.snapshot, task, "request", pa.Table.from_pandas(frame, preserve_index=False), need_label=False
        )
        if len(table) < len(frame):
            raise PredictionError("\n".join(str(f) for f in table.findings), findings=table.findings)
        result = predictor.predict(table)
        out = result.keys.select(list(task.entity_columns)).to_pandas()
        if labels.type is TaskType.REGRESSION:
            out["predicted_value"] = result.output
        elif labels.type is TaskType.BINARY:
            out["predicted_labels"] = [labels.classes[int(p >= 0.5)] for p in result.output]
            out["probs"] = result.output
        elif labels.type is TaskType.MULTICLASS:
            out["predicted_labels"] = [labels.classes[i] for i in result.output.argmax(axis=1)]
            out["probs"] = result.output.tolist()
        else:
            out["predicted_labels"] = [
                [c for c, p in zip(labels.classes, row, strict=True) if p >= 0.5] for row in result.output
            ]
            out["probs"] = result.output.tolist()
        return out


set_model(ForeknowModel())
