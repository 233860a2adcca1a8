"""The bundle: a folder with all that prediction needs, and no pickle.

    bundle.json             format, versions, task, labels, network shape, sampling, lineage
    schema.yaml             the schema the model was trained under, derived columns' SQL included
    encoding.json           scales, vocabularies, time scales: fitted on the past
    encoding.safetensors    arrays of text embedders
    weights.safetensors     the network

Any of it can be read and reviewed with common tools; loading runs no code but ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from foreknow.errors import StoreError
from foreknow.graph.encode import Encoding
from foreknow.nn.model import ModelConfig, RelationalGNN
from foreknow.sample.plan import make_plan
from foreknow.sample.temporal import Strategy
from foreknow.schema.table import Schema
from foreknow.task.label import LabelEncoding
from foreknow.task.task import EntityTask

__all__ = ["FORMAT", "Bundle"]

FORMAT = 1
_NO_BOUND = (float("-inf"), float("inf"))  # label bounds nothing goes beyond: JSON has no word for them


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A trained model with everything it needs but the data.

    Attributes:
        schema: Tables as the model knows them.
        task: What it predicts.
        labels: How outputs become predictions.
        encoding: How rows become inputs.
        model: The network's shape.
        num_neighbors: Fan-outs it was trained with.
        temporal_strategy: How children are drawn.
        windows_days: Windows in which children of seeds are counted.
        seed: Sampling seed.
        logit_shift: Subtracted from outputs, see ``train.loss``.
        shallow_embeddings: Tables whose keys are features.
        weights: The network's parameters.
        info: Lineage: versions, dataset, run, snapshot, metrics. Plain values, no secrets.
    """

    schema: Schema
    task: EntityTask
    labels: LabelEncoding
    encoding: Encoding
    model: ModelConfig
    num_neighbors: tuple[int, ...]
    temporal_strategy: Strategy
    windows_days: tuple[float, ...]
    seed: int
    logit_shift: tuple[float, ...]
    shallow_embeddings: tuple[str, ...]
    weights: Mapping[str, torch.Tensor]
    info: Mapping[str, Any] = field(default_factory=dict)

    def network(self, device: torch.device | str = "cpu") -> RelationalGNN:
        """The network with its weights, in evaluation mode."""
        network = RelationalGNN(
            make_plan(self.schema, self.task.entity_table, self.num_neighbors),
            self.encoding,
            num_windows=len(self.windows_days),
            num_outputs=self.labels.num_outputs,
            config=self.model,
        )
        network.load_state_dict(dict(self.weights))
        return network.to(device).eval()

    def save(self, folder: Path) -> Path:
        """Write the bundle into a folder, which is made. ``bundle.json`` comes last: with it the bundle is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        meta = {
            "format": FORMAT,
            "task": self.task.to_dict(),
            "labels": {k: v for k, v in self.labels.to_dict().items() if v not in _NO_BOUND},
            "model": asdict(self.model),
            "num_neighbors": list(self.num_neighbors),
            "temporal_strategy": self.temporal_strategy,
            "windows_days": list(self.windows_days),
            "seed": self.seed,
            "logit_shift": list(self.logit_shift),
            "shallow_embeddings": list(self.shallow_embeddings),
            "info": dict(self.info),
        }
        text = json.dumps(meta, indent=1, allow_nan=False)
        (folder / "bundle.json").unlink(missing_ok=True)
        (folder / "schema.yaml").write_text(yaml.safe_dump(self.schema.to_dict(), sort_keys=False))
        (folder / "encoding.json").write_text(json.dumps(self.encoding.to_dict(), indent=1))
        arrays = {k: np.ascontiguousarray(v) for k, v in self.encoding.arrays.items()}
        save_arrays(arrays, folder / "encoding.safetensors")
        save_tensors(
            {k: v.detach().cpu().contiguous() for k, v in self.weights.items()}, folder / "weights.safetensors"
        )
        (folder / "bundle.json").write_text(text)
        return folder

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle.

        Raises:
            StoreError: The folder holds none, or one of another format version.
        """
        path = folder / "bundle.json"
        if not path.exists():
            raise StoreError(f"'{folder}' holds no bundle", hint="a bundle folder has a bundle.json")
        meta: dict[str, Any] = json.loads(path.read_text())
        if meta["format"] != FORMAT:
            raise StoreError(
                f"the bundle in '{folder}' is of format {meta['format']}, this version reads {FORMAT}",
                hint=f"it was written by foreknow {meta.get('info', {}).get('foreknow_version', '?')}; "
                "use that version or train again",
            )
        known = {f.name for f in fields(ModelConfig)}
        return cls(
            schema=Schema.from_dict(yaml.safe_load((folder / "schema.yaml").read_text())),
            task=EntityTask.from_dict(meta["task"]),
            labels=LabelEncoding.from_dict(meta["labels"]),
            encoding=Encoding.from_dict(
                json.loads((folder / "encoding.json").read_text()), load_arrays(folder / "encoding.safetensors")
            ),
            model=ModelConfig(**{k: v for k, v in meta["model"].items() if k in known}),
            num_neighbors=tuple(meta["num_neighbors"]),
            temporal_strategy=meta["temporal_strategy"],
            windows_days=tuple(meta["windows_days"]),
            seed=meta["seed"],
            logit_shift=tuple(meta["logit_shift"]),
            shallow_embeddings=tuple(meta["shallow_embeddings"]),
            weights=load_tensors(folder / "weights.safetensors"),
            info=meta["info"],
        )
