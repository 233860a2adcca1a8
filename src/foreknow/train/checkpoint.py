"""Checkpoints: everything needed to go on exactly where training stopped. Tensors in safetensors, the rest in JSON.

    checkpoint/state.json                  format, epoch, history, best epoch, names of the other two files
    checkpoint/model-<epoch>.safetensors   weights, optimiser moments, random state
    checkpoint/best-<epoch>.safetensors    weights of the best epoch

Files are written beside and renamed, state last: a kill at any moment leaves the previous checkpoint whole. The next
save clears away what is no part of it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from foreknow.errors import StoreError

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT = 1


@dataclass(kw_only=True)
class Checkpoint:
    """State of a training run after an epoch. ``tensors`` holds model, optimiser and random state by prefix."""

    epoch: int
    step: int
    history: list[dict[str, float]]
    best_epoch: int
    best_value: float
    stale: int
    elapsed_s: float
    tensors: dict[str, Tensor]
    best: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)


def pack(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, optimiser moments and PyTorch's random state as one flat dictionary."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()
    return tensors


def unpack(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `pack` took."""
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"].cpu())
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"].cpu())


def save_checkpoint(folder: Path, c: Checkpoint) -> None:
    """Write a checkpoint, replacing the one there. The folder is the checkpoint's own: nothing else stays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"model": f"model-{c.epoch}.safetensors", "best": f"best-{c.best_epoch}.safetensors"}
    _write_tensors(folder / names["model"], c.tensors)
    if not (folder / names["best"]).exists() or c.best_epoch == c.epoch:
        _write_tensors(folder / names["best"], c.best)
    state = {
        "format": FORMAT,
        "epoch": c.epoch,
        "step": c.step,
        "history": c.history,
        "best_epoch": c.best_epoch,
        "best_value": c.best_value,
        "stale": c.stale,
        "elapsed_s": c.elapsed_s,
        "files": names,
        "info": c.info,
    }
    temporary = folder / f".state.{os.getpid()}"
    temporary.write_text(json.dumps(state))
    os.replace(temporary, folder / "state.json")
    for path in folder.iterdir():
        if path.name not in ("state.json", *names.values()):
            path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read a checkpoint; None if there is none.

    Raises:
        StoreError: It is of another format.
    """
    path = folder / "state.json"
    if not path.exists():
        return None
    state = json.loads(path.read_text())
    if state["format"] != FORMAT:
        raise StoreError(
            f"the checkpoint in '{folder}' is of format {state['format']}, this version reads {FORMAT}",
            hint="start training anew, without --resume",
        )
    files = state.pop("files")
    state.pop("format")
    return Checkpoint(**state, tensors=load_file(folder / files["model"]), best=load_file(folder / files["best"]))


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary)
    os.replace(temporary, path)
