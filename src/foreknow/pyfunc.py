"""A bundle as an MLflow pyfunc model, defined by this very file ("models from code"): nothing is pickled.

MLflow runs this file when it loads the model, so it stands apart from the library: it may import everything, and
nothing imports it. The tables a prediction reads are those of the source the model was trained on, or of the one
named by ``FOREKNOW_SOURCE`` in the serving process; credentials are never part of a model.
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
        bundle = Bundle.load(Path(context.artifacts["bundle"]))
        source = os.environ.get("FOREKNOW_SOURCE") or bundle.info.get("source")
        if not source:
            raise PredictionError(
                "the model doesn't know where its tables are", hint="set FOREKNOW_SOURCE to the database's path"
            )
        home = os.environ.get("FOREKNOW_HOME") or str(Path(tempfile.gettempdir()) / "foreknow-serving")
        self._predictor = Predictor(bundle, open_source(source), Path(home))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict for entities.

        Args:
            context: Unused.
            model_input: Entity key columns; the seed-time column if predictions are not for the latest time known.
            params: None are known.

        Returns:
            Entity keys, then ``predicted_labels`` and ``probs``, or ``predicted_value``.
        """
        predictor = self._predictor
        task, labels = predictor.bundle.task, predictor.bundle.labels
        frame = model_input[[c for c in (*task.entity_columns, task.time) if c in model_input.columns]].copy()
        if task.time is not None and (task.time not in frame.columns or frame[task.time].isna().all()):
            latest = predictor.store.time_range
            frame[task.time] = pd.Timestamp(latest[1] if latest else 0, unit="s")
        table = read_task_table(
            predictor.snapshot, task, "request", pa.Table.from_pandas(frame, preserve_index=False), need_label=False
        )
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
