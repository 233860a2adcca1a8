"""Loader: from task-table rows to batches of tensors, in a fixed order, optionally drawn ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from foreknow.graph.encode import Encoding, TableFeatures
from foreknow.graph.store import GraphStore
from foreknow.sample.batch import Batch, SetTensors
from foreknow.sample.plan import make_plan
from foreknow.sample.seeds import Seeds
from foreknow.sample.temporal import DrawnSet, Sample, Strategy, TemporalSampler
from foreknow.task.task import EntityTask
from foreknow.types import DAY_S, NEVER

__all__ = ["Loader", "Seeds"]

_YEAR_DAYS = 365.2425
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


class Loader:
    """Draws and encodes batches.

    Args:
        sampler: Draws rows.
        features: Encodes them, by table.
        known: Columns of an unseen seed row that stay visible.
        num_threads: Threads drawing ahead; 0 draws when asked. The batches are the same.
    """

    def __init__(
        self,
        sampler: TemporalSampler,
        features: Mapping[str, TableFeatures],
        *,
        known: tuple[str, ...] = (),
        num_threads: int = 0,
    ) -> None:
        self.sampler = sampler
        self.features = features
        self.known = known
        self.num_threads = num_threads

    @classmethod
    def for_task(
        cls,
        store: GraphStore,
        task: EntityTask,
        encoding: Encoding,
        *,
        num_neighbors: Sequence[int],
        strategy: Strategy,
        windows_days: Sequence[float],
        seed: int,
        num_threads: int = 0,
    ) -> Loader:
        """The loader of a task over a store: plan, sampler and features put together."""
        keys = [(t.name, k) for t in store.schema for k in t.foreign_keys]
        sampler = TemporalSampler(
            store,
            make_plan(store.schema, task.entity_table, num_neighbors),
            strategy=strategy,
            inclusive=task.inclusive,
            context_until=task.context_until,
            windows_days=windows_days,
            known_edges=[
                e for e, (t, k) in enumerate(keys) if t == task.entity_table and set(task.known) >= set(k.columns)
            ],
            seed=seed,
        )
        tables = sorted({s.table for s in sampler.plan.sets})
        features = {t: TableFeatures(encoding.tables[t], store[t], encoding.arrays) for t in tables}
        return cls(sampler, features, known=task.known, num_threads=num_threads)

    def batches(
        self, seeds: Seeds, batch_size: int, *, order: np.ndarray | None = None, epoch: int = 0
    ) -> Iterator[Batch]:
        """All seeds once, `batch_size` at a time.

        Args:
            seeds: What to draw for.
            batch_size: Seeds per batch; the last one may be smaller.
            order: Order of the seeds; as they come if not given.
            epoch: Passed to the sampler.
        """
        rows = np.arange(len(seeds)) if order is None else order
        chunks = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        if self.num_threads <= 0:
            for chunk in chunks:
                yield self.batch(seeds, chunk, epoch=epoch)
            return
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            todo = iter(chunks)
            try:
                for chunk in todo:
                    ahead.append(pool.submit(self.batch, seeds, chunk, epoch=epoch))
                    if len(ahead) > 2 * self.num_threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def batch(self, seeds: Seeds, rows: np.ndarray, *, epoch: int = 0) -> Batch:
        """One batch of the given task-table rows."""
        sample = self.sampler.sample(seeds.row[rows], seeds.time[rows], epoch=epoch)
        sets = tuple(
            self._encode(sample, i, table=s.table, is_seed=i == 0) for i, s in enumerate(self.sampler.plan.sets)
        )
        history = [d.windows for d in sample.sets if d.windows is not None]
        return Batch(
            rows=rows,
            sets=sets,
            history=torch.from_numpy(
                np.concatenate(history, axis=1) if history else np.zeros((len(rows), 0), np.float32)
            ),
            seed_clock=torch.from_numpy(_phases(sample.seed_time[sample.sets[0].slot])),
        )

    def _encode(self, sample: Sample, index: int, *, table: str, is_seed: bool) -> SetTensors:
        drawn = sample.sets[index]
        features, graph = self.features[table], self.sampler.store[table]
        at = sample.seed_time[drawn.slot]
        # A table without time tells what is known by the instants in its rows: those the context ends before are not.
        seen_at = self.sampler.known_until(at) if features.encoding.mask_future_instants else at
        rows = features.gather(drawn.ids, seen_at)
        if is_seed:
            rows = features.hide(rows, sample.unseen, self.known)
        days = clock = None
        if graph.time is not None:
            time = graph.time[drawn.ids]
            if is_seed:  # a row that is not seen yet has no age
                time = np.where(sample.unseen | (time == NEVER), at, time)
            days = torch.from_numpy(((at - time) / DAY_S).astype(np.float32))
            clock = torch.from_numpy(_phases(time))
        return SetTensors(
            dense=torch.from_numpy(rows.dense),
            category=torch.from_numpy(rows.category),
            lists=tuple((torch.from_numpy(c), torch.from_numpy(o)) for c, o in rows.lists),
            days=days,
            clock=clock,
            **_links(drawn),
        )


def _links(drawn: DrawnSet) -> dict[str, torch.Tensor]:
    arrays = {"owner": drawn.owner, "offsets": drawn.offsets, "link": drawn.link}
    tensors = {k: torch.from_numpy(v) for k, v in arrays.items() if v is not None}
    if drawn.degree is not None:
        tensors["degree"] = torch.from_numpy(drawn.degree.astype(np.float32))
    return tensors


def _phases(time: np.ndarray) -> np.ndarray:
    """Fractions of the day, the week (from Monday) and the year that have passed. Shape ``(N, 3)``, float32."""
    days = time / DAY_S
    return np.stack([days % 1.0, (days + _EPOCH_WEEKDAY) / 7 % 1.0, days / _YEAR_DAYS % 1.0], axis=1).astype(np.float32)
