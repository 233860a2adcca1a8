"""Everything a training run can be told, with defaults: the ``train:`` part of ``foreknow.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foreknow.errors import ConfigError, Finding, raise_findings
from foreknow.nn.model import ModelConfig
from foreknow.sample.temporal import Strategy

__all__ = ["TrainConfig", "check_config"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ModelConfig):
    """How to train. The network's shape is inherited from ``ModelConfig``."""

    epochs: int = 10  # passes over the training rows
    max_steps_per_epoch: int | None = None  # stop an epoch early after so many batches
    time_budget: float | None = None  # seconds of training after which it stops, learning rate decayed in time
    batch_size: int = 128  # training seeds per step
    eval_batch_size: int = 128  # seeds per batch when nothing is learnt
    eval_every: int = 1  # epochs between evaluations
    patience: int = 5  # evaluations without a better metric before training stops
    lr: float = 1e-3  # peak learning rate
    t_max: int | None = None  # epochs the cosine decay takes; all epochs if not given
    eta_min: float = 1e-8  # learning rate at the end of the decay
    warmup_steps: int = 0  # steps of linear rise to the peak
    weight_decay: float = 1e-4  # decoupled (AdamW)
    clip_norm: float | None = 1.0  # largest gradient norm; None clips nothing
    label_smoothing: float = 0.0  # 0.1 is usual; classification only
    class_weight: Literal["auto", "balanced", "none"] = "auto"  # auto: balanced if a class is rarer than 5%
    clamp_min: float = 0.0  # percentile of training labels no regression prediction goes below
    clamp_max: float = 100.0  # ... or above
    seed: int = 0  # the same seed on the same data and machine gives the same model
    num_neighbors: tuple[int, ...] = (128, 64)  # children drawn per row and link, per hop; -1 for all
    temporal_strategy: Strategy = "uniform"  # among visible children: uniform, or the last ones
    text_embedder: str = "hashed"  # hashed, model2vec:PATH, sentence-transformers:PATH
    shallow_embeddings: tuple[str, ...] = ()  # tables whose every row gets a vector of its own
    scoreboard: Literal["off", "quick", "full"] = "quick"  # baselines beside the network: off, quick or full
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    loader_threads: int = 0  # threads drawing batches ahead; useful with a GPU


def check_config(config: TrainConfig, *, where: str = "training parameters") -> None:
    """Check ranges.

    Args:
        config: What to check.
        where: Where the values stand; begins the message.

    Raises:
        ConfigError: With all findings at once.
    """
    findings: list[Finding] = []

    def need(ok: bool, name: str, what: str) -> None:
        if not ok:
            findings.append(Finding(name="parameter", message=f"{name} is {getattr(config, name)!r}; {what}"))

    for name in ("epochs", "batch_size", "eval_batch_size", "eval_every", "channels", "head_layers", "patience"):
        need(getattr(config, name) >= 1, name, "it must be at least 1")
    need(
        config.batch_size != 1 or "batch" not in (config.head_norm, config.gnn_norm),
        "batch_size",
        "batch normalisation (head_norm, gnn_norm) needs at least 2",
    )
    need(config.lr > 0, "lr", "it must be positive")
    need(config.eta_min >= 0 and not 0 < config.lr < config.eta_min, "eta_min", "it must not be negative, nor above lr")
    need(config.weight_decay >= 0, "weight_decay", "it must not be negative")
    need(config.warmup_steps >= 0, "warmup_steps", "it must not be negative")
    need(0 <= config.dropout < 1, "dropout", "it must be in [0, 1)")
    need(0 <= config.label_smoothing < 1, "label_smoothing", "it must be in [0, 1)")
    need(0 <= config.clamp_min < config.clamp_max <= 100, "clamp_min", "0 <= clamp_min < clamp_max <= 100 is needed")
    need(config.clip_norm is None or config.clip_norm > 0, "clip_norm", "it must be positive, or null")
    need(config.time_budget is None or config.time_budget > 0, "time_budget", "it must be positive seconds")
    need(
        config.max_steps_per_epoch is None or config.max_steps_per_epoch >= 1,
        "max_steps_per_epoch",
        "it must be at least 1",
    )
    need(config.t_max is None or config.t_max >= 1, "t_max", "it must be at least 1")
    need(config.num_layers is None or config.num_layers >= 1, "num_layers", "it must be at least 1")
    need(
        len(config.num_neighbors) > 0 and all(k == -1 or k > 0 for k in config.num_neighbors),
        "num_neighbors",
        "it must hold one positive number (or -1 for all) per hop",
    )
    need(0 <= config.seed < 1 << 63, "seed", "it must not be negative, and fit into 63 bits")
    need(config.loader_threads >= 0, "loader_threads", "it must not be negative")
    choices = {
        "conv_aggregation": ("mean", "sum", "max"),
        "hetero_conv_aggregation": ("mean", "sum", "max"),
        "gnn_norm": ("layer", "batch", "instance", "none"),
        "head_norm": ("layer", "batch", "instance", "none"),
        "temporal_strategy": ("uniform", "last"),
        "class_weight": ("auto", "balanced", "none"),
        "scoreboard": ("off", "quick", "full"),
    }
    for name, allowed in choices.items():
        need(getattr(config, name) in allowed, name, f"choose one of {', '.join(allowed)}")
    raise_findings(findings, ConfigError, where)
