"""The forward pass over many seeds. Validation, test and serving all run this and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from foreknow.nn.model import RelationalGNN
from foreknow.sample.loader import Loader, Seeds
from foreknow.task.label import LabelEncoding
from foreknow.types import TaskType

__all__ = ["outputs_to_predictions", "run_forward"]


def run_forward(
    model: RelationalGNN,
    loader: Loader,
    seeds: Seeds,
    *,
    batch_size: int,
    device: torch.device | str = "cpu",
    embeddings: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run a network in evaluation mode over seeds, in order.

    The draw is that of epoch 0, always: the same seeds give the same outputs in training's validation and in serving.

    Args:
        model: The network.
        loader: Draws and encodes.
        seeds: What to predict for.
        batch_size: Seeds per batch.
        device: Where the network is.
        embeddings: Return the seeds' vectors too.
        progress: Called with the number of seeds done after each batch.

    Returns:
        Raw outputs, shape ``(N, num_outputs)`` float32; and vectors ``(N, C)`` or None.
    """
    was_training = model.training
    model.eval()
    outputs, vectors = [], []
    done = 0
    try:
        with torch.inference_mode():
            for batch in loader.batches(seeds, batch_size):
                vector = model.embed(batch.to(device))
                outputs.append(model.head(vector).float().cpu().numpy())
                if embeddings:
                    vectors.append(vector.float().cpu().numpy())
                done += len(batch)
                if progress is not None:
                    progress(done)
    finally:
        model.train(was_training)
    raw = np.concatenate(outputs) if outputs else np.zeros((0, model.head.out.out_features), np.float32)
    if not embeddings:
        return raw, None
    return raw, np.concatenate(vectors) if vectors else np.zeros((0, model.config.channels), np.float32)


def outputs_to_predictions(raw: np.ndarray, labels: LabelEncoding, logit_shift: np.ndarray) -> np.ndarray:
    """Turn raw outputs into what metrics and tables hold.

    Args:
        raw: ``(N, num_outputs)``.
        labels: The task's label encoding.
        logit_shift: Subtracted from the outputs: undoes the weighting of classes in training, so that
            probabilities are those of the data. Shape ``(num_outputs,)``.

    Returns:
        Binary: probability of the second class, ``(N,)``. Multiclass and multilabel: probabilities, ``(N, K)``.
        Regression: values within the bounds seen in training, ``(N,)``.
    """
    x = raw.astype(np.float64) - logit_shift
    if labels.type is TaskType.REGRESSION:
        return np.asarray(np.clip(x[:, 0] * labels.std + labels.mean, labels.low, labels.high))
    if labels.type is TaskType.MULTICLASS:
        x = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(x / x.sum(axis=1, keepdims=True))
    probability = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return np.asarray(probability[:, 0] if labels.type is TaskType.BINARY else probability)
