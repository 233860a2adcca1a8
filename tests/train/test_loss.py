"""Losses by hand, and that what weighting classes does to outputs is undone."""

import math

import numpy as np
import pytest
import torch

from foreknow.predict.forward import outputs_to_predictions
from foreknow.task.label import LabelEncoding
from foreknow.train.config import TrainConfig
from foreknow.train.loss import MAX_WEIGHT, make_objective
from foreknow.types import TaskType

pytestmark = pytest.mark.filterwarnings("error")

BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType


def labels_of(task_type, shares=(), **scale):
    classes = tuple("abcdef"[: len(shares)])
    return LabelEncoding(type=task_type, dtype="", classes=classes, shares=tuple(shares), **scale)


def objective(labels, metric="", **config):
    return make_objective(labels, TrainConfig(**config), metric)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def log_softmax(row):
    return [x - math.log(sum(math.exp(y) for y in row)) for x in row]


# --- by hand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_binary_loss(smoothing, weight):
    """One in five is positive: balanced, a positive weighs the square root of 4."""
    loss = objective(labels_of(BINARY, (0.8, 0.2)), label_smoothing=smoothing, class_weight=weight)
    w = 2 if weight == "balanced" else 1
    raw, target = [0.3, -1.2, 2.0], [1, 0, 1]
    expected = 0
    for x, y in zip(raw, target, strict=True):
        p = y * (1 - smoothing) + smoothing / 2
        expected -= (w * p * log_sigmoid(x) + (1 - p) * log_sigmoid(-x)) / 3
    assert float(loss(torch.tensor(raw)[:, None], torch.tensor(target).float())) == pytest.approx(expected)
    assert loss.logit_shift.tolist() == pytest.approx([math.log(w)])
    assert loss.bias.tolist() == pytest.approx([math.log(0.2 / 0.8) + math.log(w)])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_multiclass_loss(smoothing, weight):
    """Shares of 1/2, 3/8 and 1/8: balanced, they weigh 2/3, 8/9 and 8/3. A mean by the weights of the rows."""
    shares = (0.5, 0.375, 0.125)
    loss = objective(labels_of(MULTICLASS, shares), label_smoothing=smoothing, class_weight=weight)
    w = [2 / 3, 8 / 9, 8 / 3] if weight == "balanced" else [1, 1, 1]
    raw, target = [[0.3, -1.0, 0.5], [2.0, 0.0, 0.1]], [2, 0]
    expected = 0
    for row, y in zip(raw, target, strict=True):
        log_p = log_softmax(row)
        smooth = sum(a * b for a, b in zip(w, log_p, strict=True)) / 3
        expected -= (1 - smoothing) * w[y] * log_p[y] + smoothing * smooth
    expected /= w[2] + w[0]
    assert float(loss(torch.tensor(raw), torch.tensor(target))) == pytest.approx(expected)
    assert loss.logit_shift.tolist() == pytest.approx(np.log(w).tolist())
    assert loss.bias.tolist() == pytest.approx((np.log(shares) + np.log(w)).tolist())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_multilabel_loss(smoothing, weight):
    loss = objective(labels_of(MULTILABEL, (0.2, 0.5)), label_smoothing=smoothing, class_weight=weight)
    w = [2, 1] if weight == "balanced" else [1, 1]
    raw, target = [[0.3, -1.0], [2.0, 0.0]], [[1, 0], [0, 1]]
    expected = 0
    for row, ys in zip(raw, target, strict=True):
        for x, y, weight_of_yes in zip(row, ys, w, strict=True):
            p = y * (1 - smoothing) + smoothing / 2
            expected -= (weight_of_yes * p * log_sigmoid(x) + (1 - p) * log_sigmoid(-x)) / 4
    assert float(loss(torch.tensor(raw), torch.tensor(target).float())) == pytest.approx(expected)
    assert loss.logit_shift.tolist() == pytest.approx(np.log(w).tolist())


@pytest.mark.parametrize(
    ("metric", "expected", "bias"), [("rmse", (9 + 1) / 2, 0), ("r2", 5, 0), ("mae", 2, -0.5), ("mape", 2, -0.5)]
)
def test_regression_loss_fits_the_metric(metric, expected, bias):
    """Errors of 3 and -1 standard deviations; squared errors want the mean, absolute ones the median."""
    loss = objective(labels_of(REGRESSION, mean=10.0, std=4.0, median=8.0), metric, class_weight="balanced")
    assert float(loss(torch.tensor([[3.0], [0.0]]), torch.tensor([0.0, 1.0]))) == pytest.approx(expected)
    assert loss.bias.tolist() == [bias]
    assert loss.logit_shift.tolist() == [0]


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task_type", "shares", "is_weighted"),
    [
        (BINARY, (0.95, 0.05), False),
        (BINARY, (0.96, 0.04), True),
        (BINARY, (0.04, 0.96), True),
        (MULTICLASS, (0.5, 0.45, 0.05), False),
        (MULTICLASS, (0.5, 0.46, 0.04), True),
        (MULTILABEL, (0.5, 0.06), False),
        (MULTILABEL, (0.5, 0.04), True),
    ],
)
def test_weights_turn_on_by_themselves_if_a_class_is_rare(task_type, shares, is_weighted):
    labels = labels_of(task_type, shares)
    assert bool(np.abs(objective(labels).logit_shift).max() > 1e-9) == is_weighted
    assert np.abs(objective(labels, class_weight="none").logit_shift).max() == 0


@pytest.mark.parametrize(
    ("task_type", "shares"),
    [(BINARY, (1 - 1e-5, 1e-5)), (BINARY, (1e-5, 1 - 1e-5)), (MULTILABEL, (1e-5, 1 - 1e-5)), (MULTICLASS, (1e-5, 1.0))],
)
def test_no_class_weighs_more_than_so_much(task_type, shares):
    shift = objective(labels_of(task_type, shares)).logit_shift
    assert np.abs(shift).max() == pytest.approx(math.log(MAX_WEIGHT))


@pytest.mark.parametrize("weight", ["none", "balanced"])
@pytest.mark.parametrize(
    ("task_type", "shares"),
    [
        (BINARY, (0.98, 0.02)),
        (BINARY, (0.1, 0.9)),
        (BINARY, (0.998, 0.002)),  # weights at their limit
        (MULTICLASS, (0.7, 0.28, 0.02)),
        (MULTICLASS, (0.5, 0.498, 0.002)),
        (MULTILABEL, (0.02, 0.6, 0.9)),
    ],
)
def test_a_model_of_base_rates_predicts_them_whatever_the_weights(task_type, shares, weight):
    """Trained to its optimum on 1000 rows of these shares, outputs start from where they end."""
    labels = labels_of(task_type, shares)
    loss = objective(labels, class_weight=weight)
    counts = (np.array(shares) * 1000).round().astype(int)
    if task_type is MULTILABEL:
        target = torch.tensor(np.arange(1000)[:, None] < counts).float()
    else:
        target = torch.tensor(np.repeat(np.arange(len(shares)), counts))
        target = target.float() if task_type is BINARY else target
    bias = torch.zeros(labels.num_outputs, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(bias.float().expand(1000, -1), target)
        value.backward()
        return value

    optimizer.step(closure)
    raw = bias.detach().numpy()[None]
    found = np.atleast_1d(outputs_to_predictions(raw, labels, loss.logit_shift)[0])
    assert found == pytest.approx(np.array(shares[1:] if task_type is BINARY else shares), abs=1e-3)
    start = np.atleast_1d(outputs_to_predictions(loss.bias[None], labels, loss.logit_shift)[0])
    assert start == pytest.approx(np.array(shares[1:] if task_type is BINARY else shares), abs=1e-6)


def test_a_class_that_never_or_always_occurs_keeps_everything_finite():
    loss = objective(labels_of(MULTILABEL, (0.0, 1.0)))
    assert np.isfinite(loss.bias).all()
    assert np.isfinite(loss.logit_shift).all()
    assert loss(torch.zeros(2, 2), torch.tensor([[0.0, 1], [0, 1]])).isfinite()
