"""A shop with a planted signal, and short ways to train on it.

Users, items and orders at random times. Who ordered an item of kind ``bad`` within the last 20 days is a positive: a
column two links away, and recency. Nothing else says anything.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
import torch

from foreknow.graph.encode import Encoding, fit_encoding
from foreknow.graph.store import GraphStore
from foreknow.nn.model import ModelConfig, RelationalGNN
from foreknow.sample.loader import Loader, Seeds
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.task.label import encode_labels, fit_labels
from foreknow.task.metric import default_metric
from foreknow.task.task import EntityTask
from foreknow.testing.stores import build_store
from foreknow.train.config import TrainConfig
from foreknow.train.loop import SplitData, fit
from foreknow.types import DAY_S, Stype, TaskType

NUM_USERS, NUM_ITEMS, WINDOW_DAYS = 160, 30, 20
SEED_DAYS = {"train": (50, 70, 90), "validation": (110,), "test": (130,)}
KINDS = ("bad", "bad", "cheap", "dear", "plain")


def shop_schema():
    def table(name, columns, **more):
        made = tuple(Column(name=n, stype=Stype(s), dtype=d) for n, s, d in (c.split() for c in columns.split(", ")))
        return Table(name=name, columns=made, **more)

    orders = table(
        "orders",
        "user_id key BIGINT, item_id key BIGINT, at timestamp TIMESTAMP",
        foreign_keys=(ForeignKey(columns=("user_id",), table="users"), ForeignKey(columns=("item_id",), table="items")),
        time_column="at",
    )
    return Schema(
        {
            "users": table("users", "user_id key BIGINT, age numerical DOUBLE", primary_key=("user_id",)),
            "items": table("items", "item_id key BIGINT, kind categorical VARCHAR", primary_key=("item_id",)),
            "orders": orders,
        }
    )


@dataclass
class Recorder:
    """An observer that keeps what it is told, and can fall over at a step or an epoch, as a killed process does."""

    die_at_step: tuple[int, int] | None = None
    die_at_epoch: int | None = None
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    evaluated: list = field(default_factory=list)
    model: torch.nn.Module | None = None
    weights: dict = field(default_factory=dict)

    def on_step(self, epoch, step, num_steps, loss):
        self.steps.append((epoch, step, num_steps, loss))
        if (epoch, step) == self.die_at_step:
            raise KilledError

    def on_evaluate(self, done, total):
        self.evaluated.append((done, total))

    def on_epoch(self, record):
        self.epochs.append(record)
        if self.model is not None:
            self.weights[record.epoch] = {k: v.clone() for k, v in self.model.state_dict().items()}
        if record.epoch == self.die_at_epoch:
            raise KilledError


class KilledError(Exception):
    """The process is gone."""


@dataclass(frozen=True)
class Shop:
    store: GraphStore
    encoding: Encoding
    order: np.ndarray  # (N, 3): user, item, day
    kind: np.ndarray  # of each item

    def label(self, task_type, user, day):
        """The label of a user at a day, as its task type has it."""
        recent = (self.order[:, 0] == user) & (self.order[:, 2] > day - WINDOW_DAYS) & (self.order[:, 2] <= day)
        kinds = [str(k) for k in self.kind[self.order[recent, 1].astype(int)]]
        if task_type is TaskType.BINARY:
            return "bad" in kinds
        if task_type is TaskType.REGRESSION:
            return float(kinds.count("bad"))
        if task_type is TaskType.MULTILABEL:
            return sorted(set(kinds))
        return max(kinds, default="none")

    def splits(self, task_type=TaskType.BINARY, *, shuffled=False):
        """Label encoding and splits."""
        dtype = {TaskType.BINARY: "BOOLEAN", TaskType.REGRESSION: "DOUBLE", TaskType.MULTILABEL: "VARCHAR[]"}
        dtype = dtype.get(task_type, "VARCHAR")
        rng, seeds, values = np.random.default_rng(0), {}, {}
        for split, days in SEED_DAYS.items():
            users, days = np.tile(np.arange(NUM_USERS, dtype=np.int32), len(days)), np.repeat(days, NUM_USERS)
            seeds[split] = Seeds(row=users, time=days * DAY_S)
            found = [self.label(task_type, u, d) for u, d in zip(users, days, strict=True)]
            values[split] = pa.array([found[i] for i in rng.permutation(len(found))] if shuffled else found)
        labels = fit_labels(task_type, values["train"], dtype)
        return labels, {k: SplitData(seeds=s, target=encode_labels(labels, values[k])) for k, s in seeds.items()}

    def task(self, task_type, metric):
        return EntityTask(
            name="Task",
            type=task_type,
            entity_table="users",
            entity_columns=("user_id",),
            entity_key=("user_id",),
            label="label",
            time="at",
            metric=metric,
        )

    def loader(self, config):
        return Loader.for_task(
            self.store,
            self.task(TaskType.BINARY, "roc_auc"),
            self.encoding,
            num_neighbors=config.num_neighbors,
            strategy=config.temporal_strategy,
            windows_days=(7, 30),
            seed=config.seed,
            num_threads=config.loader_threads,
        )

    def network(self, config, num_outputs=1):
        """A fresh network, from the configuration's seed."""
        torch.manual_seed(config.seed)
        shape = ModelConfig(**{k: v for k, v in vars(config).items() if k in ModelConfig.__dataclass_fields__})
        plan = self.loader(config).sampler.plan
        return RelationalGNN(plan, self.encoding, num_windows=2, num_outputs=num_outputs, config=shape)

    def fit(self, config=None, *, task_type=TaskType.BINARY, metric=None, data=None, observer=None, **options):
        """Train. Returns the result, the network and the observer."""
        config = config or small()
        labels, splits = data or self.splits(task_type)
        network, observer = self.network(config, labels.num_outputs), observer or Recorder()
        observer.model = network
        result = fit(
            network,
            self.loader(config),
            splits["train"],
            splits["validation"],
            labels,
            config=config,
            metric=metric or default_metric(task_type),
            observer=observer,
            **options,
        )
        return result, network, observer


def small(**changes):
    """A configuration that trains in a blink."""
    return TrainConfig(
        **{
            "epochs": 3,
            "max_steps_per_epoch": 3,
            "batch_size": 32,
            "eval_batch_size": 160,
            "channels": 8,
            "num_neighbors": (8, 4),
            "lr": 0.01,
            **changes,
        }
    )


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    rng = np.random.default_rng(0)
    n = NUM_USERS * 8
    order = np.stack([rng.integers(0, NUM_USERS, n), rng.integers(0, NUM_ITEMS, n), rng.integers(0, 130, n)], axis=1)
    kind = np.array(KINDS)[np.arange(NUM_ITEMS) % len(KINDS)]
    tables = {
        "users": pa.table({"user_id": np.arange(NUM_USERS), "age": rng.normal(40, 9, NUM_USERS)}),
        "items": pa.table({"item_id": np.arange(NUM_ITEMS), "kind": kind}),
        "orders": pa.table(
            {
                "user_id": order[:, 0],
                "item_id": order[:, 1],
                "at": pa.array(order[:, 2] * DAY_S).cast(pa.timestamp("s")),
            }
        ),
    }
    store = build_store(tmp_path_factory.mktemp("shop"), shop_schema(), tables)
    return Shop(store, fit_encoding(store, 90 * DAY_S), order, kind)


@pytest.fixture(scope="session")
def config():
    return small


@pytest.fixture(scope="session")
def recorder():
    return Recorder


@pytest.fixture(scope="session")
def killed():
    return KilledError
