"""Losses per task type, and what weighting classes does to outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from foreknow.task.label import LabelEncoding
from foreknow.train.config import TrainConfig
from foreknow.types import TaskType

__all__ = ["ABSOLUTE_METRICS", "Objective", "make_objective"]

ABSOLUTE_METRICS = ("mae", "mape")  # what a median does well in, and a mean does not
RARE = 0.05  # a class rarer than this turns on class_weight="auto"
MAX_WEIGHT = 20.0


class Objective:
    """A task's loss.

    Attributes:
        logit_shift: What class weights add to the best outputs; subtract it to get the data's own probabilities.
            Shape ``(num_outputs,)``.
        bias: Outputs of a model that knows only the base rates. Shape ``(num_outputs,)``.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], logit_shift: np.ndarray, bias: np.ndarray) -> None:
        self._loss = loss
        self.logit_shift = logit_shift
        self.bias = bias

    def __call__(self, raw: Tensor, target: Tensor) -> Tensor:
        """Mean loss. ``raw``: ``(B, num_outputs)``; ``target``: as `task.label.encode_labels` gives it, scaled."""
        return self._loss(raw, target)


def make_objective(labels: LabelEncoding, config: TrainConfig, metric: str) -> Objective:
    """The loss for a task.

    Binary and multilabel: logistic loss; multiclass: cross-entropy; regression: absolute error on the standardised
    label if the metric (by its plain name) is one of absolute errors, squared error otherwise.
    """
    share = np.clip(np.array(labels.shares, np.float64), 1e-6, 1 - 1e-6)
    smoothing = config.label_smoothing
    if labels.type is TaskType.REGRESSION:
        absolute = metric in ABSOLUTE_METRICS
        bias = np.array([(labels.median - labels.mean) / labels.std if absolute else 0.0])
        function = F.l1_loss if absolute else F.mse_loss
        return Objective(lambda raw, y: function(raw[:, 0], y), np.zeros(1), bias)
    balanced = config.class_weight == "balanced" or (config.class_weight == "auto" and share.min() < RARE)
    if labels.type is TaskType.MULTICLASS:
        weight = np.minimum(1 / (len(share) * share), MAX_WEIGHT) if balanced else np.ones_like(share)
        w = torch.tensor(weight, dtype=torch.float32)
        shift = np.log(weight)
        return Objective(
            lambda raw, y: F.cross_entropy(raw, y, weight=w.to(raw.device), label_smoothing=smoothing),
            shift,
            np.log(share) + shift,
        )
    positive = share[-1:] if labels.type is TaskType.BINARY else share
    # the square root tempers the weight of rare labels: full balance makes training jumpy
    pos = (
        np.clip(np.sqrt((1 - positive) / positive), 1 / MAX_WEIGHT, MAX_WEIGHT) if balanced else np.ones(len(positive))
    )
    pos_weight = torch.tensor(pos, dtype=torch.float32)

    def logistic(raw: Tensor, y: Tensor) -> Tensor:
        y = y.view_as(raw) * (1 - smoothing) + 0.5 * smoothing
        return F.binary_cross_entropy_with_logits(raw, y, pos_weight=pos_weight.to(raw.device))

    shift = np.log(pos)
    return Objective(logistic, shift, np.log(positive / (1 - positive)) + shift)
