"""The training loop: epochs, evaluation, early stopping, checkpoints. Knows nothing of databases or MLflow."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from foreknow.errors import TrainingError
from foreknow.nn.model import RelationalGNN, set_output_bias
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.sample.loader import Loader, Seeds
from foreknow.task.label import LabelEncoding
from foreknow.task.metric import evaluate, is_better
from foreknow.task.metric import metric as find_metric
from foreknow.train.checkpoint import Checkpoint, load_checkpoint, pack, save_checkpoint, unpack
from foreknow.train.config import TrainConfig
from foreknow.train.loss import Objective, make_objective
from foreknow.types import TaskType

__all__ = ["EpochRecord", "FitResult", "Observer", "SplitData", "fit", "resolve_device"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SplitData:
    """Seeds of a split and their targets (see ``task.label.encode_labels``)."""

    seeds: Seeds
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What is known after an epoch. Validation values are NaN in epochs that were not evaluated.

    Training values are measured while training, batch by batch; ``learning_rate`` is that of the last batch.
    """

    epoch: int
    train_loss: float
    val_loss: float
    train_metric: float
    val_metric: float
    learning_rate: float
    elapsed_s: float
    is_best: bool


class Observer(Protocol):
    """Told how training goes. Must return quickly."""

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A step is done."""
        ...

    def on_evaluate(self, done: int, total: int) -> None:
        """Some validation seeds are done."""
        ...

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch is done and evaluated."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """A trained network, best epoch restored. ``stopped`` says why training ended."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    objective: Objective
    stopped: str
    num_steps: int
    elapsed_s: float


def resolve_device(name: str) -> torch.device:
    """The device a person asked for; ``auto`` takes a GPU if there is one.

    Raises:
        TrainingError: It isn't there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise TrainingError(f"there is no device '{name}'", hint="use auto, cpu or cuda") from e
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no CUDA device is available", hint="use device: cpu or auto")
    return device


def fit(
    model: RelationalGNN,
    loader: Loader,
    train: SplitData,
    validation: SplitData,
    labels: LabelEncoding,
    *,
    config: TrainConfig,
    metric: str,
    observer: Observer,
    checkpoint: Path | None = None,
    resume: bool = False,
    info: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a network.

    Args:
        model: The network, freshly made; trained in place, best epoch restored.
        loader: Draws batches; shared by training and validation.
        train: Training rows.
        validation: Rows model selection goes by.
        labels: Label encoding.
        config: How to train.
        metric: What selection goes by.
        observer: Told of every step and epoch.
        checkpoint: Folder to save to after each epoch.
        resume: Go on from the checkpoint, if there is one.
        info: Kept in the checkpoint.

    Raises:
        TrainingError: The loss is not finite, or there are no rows.
    """
    return _Fit(model, loader, train, validation, labels, config, metric, observer, checkpoint, dict(info or {})).run(
        resume
    )


class _Fit:
    """One training run's moving parts."""

    def __init__(
        self,
        model: RelationalGNN,
        loader: Loader,
        train: SplitData,
        validation: SplitData,
        labels: LabelEncoding,
        config: TrainConfig,
        metric: str,
        observer: Observer,
        checkpoint: Path | None,
        info: dict[str, Any],
    ) -> None:
        self.model, self.loader, self.train, self.validation = model, loader, train, validation
        self.labels, self.config, self.observer = labels, config, observer
        self.metric = find_metric(metric, labels.type)  # by its plain name, whatever alias was given
        self.checkpoint, self.info = checkpoint, info
        self.device = next(model.parameters()).device
        self.objective = make_objective(labels, config, self.metric.name)
        self.target = _target_tensor(labels, train.target)
        set_output_bias(model, self.objective.bias.tolist())
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay, foreach=True
        )
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        if config.max_steps_per_epoch is not None:
            self.steps_per_epoch = min(self.steps_per_epoch, config.max_steps_per_epoch)
        self.history: list[EpochRecord] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch, self.best_value, self.stale = 0, math.nan, 0
        self.step, self.epoch, self.before_s = 0, 0, 0.0
        self.is_evaluated = False  # the weights as they are
        self.started = time.monotonic()

    def run(self, resume: bool) -> FitResult:
        """All epochs; see `fit`."""
        if not len(self.train) or not len(self.validation):
            raise TrainingError("training needs rows in both train and validation")
        if resume:
            self._restore()
        while not (stopped := self._reason_to_stop()):
            self._one_epoch()
        self.model.load_state_dict(self.best)
        return FitResult(
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            objective=self.objective,
            stopped=stopped,
            num_steps=self.step,
            elapsed_s=self._elapsed(),
        )

    def _reason_to_stop(self) -> str:
        """Why training is over; empty if it isn't."""
        if self.stale >= self.config.patience:
            return f"no better {self.metric.name} for {self.stale} evaluations"
        if self.epoch >= self.config.epochs:
            return "all epochs done"
        return "time budget used up" if self.is_evaluated and self._out_of_time() else ""

    def _one_epoch(self) -> None:
        self.epoch += 1
        # the order depends on seed and epoch alone, so that a resumed run takes the same batches
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self.train))
        order = order[: self.steps_per_epoch * self.config.batch_size]
        outputs, rows = [], []
        total = torch.zeros((), device=self.device)
        self.model.train()
        for i, batch in enumerate(
            self.loader.batches(self.train.seeds, self.config.batch_size, order=order, epoch=self.epoch)
        ):
            rate = self._rate()
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad(set_to_none=True)
            raw = self.model(batch.to(self.device))
            loss = self.objective(raw, self.target[torch.from_numpy(batch.rows)].to(self.device))
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss became {value} in epoch {self.epoch}, step {i + 1}",
                    hint="lower lr, or set clip_norm",
                )
            loss.backward()  # type: ignore[no-untyped-call]
            if self.config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            self.optimizer.step()
            total += loss.detach() * len(batch)
            outputs.append(raw.detach().float().cpu().numpy())
            rows.append(batch.rows)
            self.step += 1
            self.observer.on_step(self.epoch, i + 1, self.steps_per_epoch, value)
            if self._out_of_time():
                break
        seen = np.concatenate(rows)
        is_last = self.epoch >= self.config.epochs or self._out_of_time()
        self.is_evaluated = self.epoch % self.config.eval_every == 0 or is_last
        val_loss, val_metric = self._validate() if self.is_evaluated else (math.nan, math.nan)
        train_metric = self._score(np.concatenate(outputs), self.train.target[seen])
        improved = self.is_evaluated and (not self.best or is_better(self.metric, val_metric, self.best_value))
        if improved:
            self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            self.best_epoch, self.best_value, self.stale = self.epoch, val_metric, 0
        elif self.is_evaluated:
            self.stale += 1
        record = EpochRecord(
            epoch=self.epoch,
            train_loss=float(total) / len(seen),
            val_loss=val_loss,
            train_metric=train_metric,
            val_metric=val_metric,
            learning_rate=rate,
            elapsed_s=self._elapsed(),
            is_best=improved,
        )
        self.history.append(record)
        if self.best:
            self._save()
        self.observer.on_epoch(record)

    def _validate(self) -> tuple[float, float]:
        raw, _ = run_forward(
            self.model,
            self.loader,
            self.validation.seeds,
            batch_size=self.config.eval_batch_size,
            device=self.device,
            progress=lambda done: self.observer.on_evaluate(done, len(self.validation)),
        )
        known = np.flatnonzero(_is_known(self.labels, self.validation.target))
        with torch.no_grad():
            target = _target_tensor(self.labels, self.validation.target[known])
            loss = float(self.objective(torch.from_numpy(raw[known]), target)) if len(known) else math.nan
        return loss, self._score(raw, self.validation.target)

    def _score(self, raw: np.ndarray, target: np.ndarray) -> float:
        output = outputs_to_predictions(raw, self.labels, self.objective.logit_shift)
        return evaluate(self.labels.type, target, output, [self.metric.name])[self.metric.name]

    def _rate(self) -> float:
        """Learning rate of the next step: linear warm-up, then a cosine to ``eta_min``."""
        c = self.config
        if self.step < c.warmup_steps:
            return c.lr * (self.step + 1) / c.warmup_steps
        progress = self.step / max(1, self.steps_per_epoch * (c.t_max or c.epochs))
        if c.time_budget is not None:
            progress = max(progress, self._elapsed() / c.time_budget)
        return c.eta_min + (c.lr - c.eta_min) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def _elapsed(self) -> float:
        return self.before_s + time.monotonic() - self.started

    def _out_of_time(self) -> bool:
        return self.config.time_budget is not None and self._elapsed() >= self.config.time_budget

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        save_checkpoint(
            self.checkpoint,
            Checkpoint(
                epoch=self.epoch,
                step=self.step,
                history=[vars(r) for r in self.history],
                best_epoch=self.best_epoch,
                best_value=self.best_value,
                stale=self.stale,
                elapsed_s=self._elapsed(),
                tensors=pack(self.model, self.optimizer),
                best=self.best,
                info=self.info,
            ),
        )

    def _restore(self) -> None:
        c = load_checkpoint(self.checkpoint) if self.checkpoint is not None else None
        if c is None:
            return
        unpack(c.tensors, self.model, self.optimizer)
        self.epoch, self.step, self.best = c.epoch, c.step, c.best
        self.best_epoch, self.best_value, self.stale = c.best_epoch, c.best_value, c.stale
        self.history = [EpochRecord(**r) for r in c.history]  # type: ignore[arg-type]
        self.before_s, self.is_evaluated = c.elapsed_s, True
        for record in self.history:
            self.observer.on_epoch(record)
        logger.info("resumed after epoch %d", self.epoch)


def _is_known(labels: LabelEncoding, target: np.ndarray) -> np.ndarray:
    """Rows whose target a loss can be computed for."""
    if labels.type is TaskType.MULTICLASS:
        return np.asarray(target >= 0)
    return np.asarray(np.isfinite(target).reshape(len(target), -1).all(axis=1))


def _target_tensor(labels: LabelEncoding, target: np.ndarray) -> Tensor:
    if labels.type is TaskType.MULTICLASS:
        return torch.from_numpy(target.astype(np.int64))
    if labels.type is TaskType.REGRESSION:
        return torch.from_numpy(((target - labels.mean) / labels.std).astype(np.float32))
    return torch.from_numpy(target.astype(np.float32))
