"""What instances tell that wait for an action, and its message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids
from troupe.engines.host.messages import Message, join, split
from troupe.tasks.base import Bools

_ALWAYS = ("ids", "observation", "reward", "terminated", "truncated", "episode", "time_ns")


@dataclass(frozen=True)
class Batch:
    """Instances that wait for an action, n of them, in the order in which they came.

    An episode that ended is followed by the next one at once: `observation` is then the first of
    the new episode, and the last one of the old is among `final_observation`.

    Attributes:
        ids: of the instances, (n,).
        observation: to act on, (n, ...).
        reward: of the last action, (n,); 0 after a reset.
        terminated: the last episode ended by itself, (n,).
        truncated: the last episode was cut off, by its time limit, the world or a fault, (n,).
        episode: number of the present episode, (n,).
        time_ns: simulated time since the present episode began, (n,).
        ended: rows of this batch whose last episode ended, (k,).
        final_observation: the last one of these episodes, (k, ...).
        metrics: the task's figures of these episodes by name, each (k,), e.g. ``success``; NaN
            where a process was lost.
        faults: id of an instance and what failed: its simulator, or the process that stepped it.
    """

    ids: Ids
    observation: npt.NDArray[Any]
    reward: Array
    terminated: Bools
    truncated: Bools
    episode: Ids
    time_ns: Ids
    ended: Ids
    final_observation: npt.NDArray[Any]
    metrics: Mapping[str, Array]
    faults: Sequence[tuple[int, str]] = ()

    def __len__(self) -> int:
        """Return how many instances wait."""
        return len(self.ids)

    def in_order(self) -> Batch:
        """Return the same instances in the order of their ids."""
        order = np.argsort(self.ids)
        if np.array_equal(order, np.arange(len(order))):
            return self
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        rows = {name: getattr(self, name)[order] for name in _ALWAYS}
        ended = place[self.ended]
        ends = np.argsort(ended)
        return replace(
            self,
            **rows,
            ended=ended[ends],
            final_observation=self.final_observation[ends],
            metrics={name: values[ends] for name, values in self.metrics.items()},
        )


def first_batch(
    ids: Ids, observation: npt.NDArray[Any], episode: Ids, metric_names: Sequence[str]
) -> Batch:
    """Return the batch of instances whose episodes begin."""
    num_instances = len(ids)
    return Batch(
        ids=ids,
        observation=observation,
        reward=np.zeros(num_instances),
        terminated=np.zeros(num_instances, np.bool_),
        truncated=np.zeros(num_instances, np.bool_),
        episode=episode,
        time_ns=np.zeros(num_instances, np.int64),
        ended=np.zeros(0, np.int64),
        final_observation=observation[:0],
        metrics={name: np.zeros(0) for name in metric_names},
    )


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Return batches of other instances each, at least one, as one."""
    if len(batches) == 1:
        return batches[0]
    starts = np.cumsum([0, *(len(batch) for batch in batches[:-1])])
    names = (*_ALWAYS, "final_observation")
    rows = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names}
    shifted = [batch.ended + start for batch, start in zip(batches, starts, strict=True)]
    return Batch(
        **rows,
        ended=np.concatenate(shifted),
        metrics={
            name: np.concatenate([batch.metrics[name] for batch in batches])
            for name in batches[0].metrics
        },
        faults=[fault for batch in batches for fault in batch.faults],
    )


def encode_batch(batch: Batch) -> Message:
    """Return the message of a batch; what no episode's end needs is left out."""
    arrays = {name: getattr(batch, name) for name in _ALWAYS}
    header: dict[str, Any] = {"metrics": list(batch.metrics)}
    if len(batch.ended):
        arrays |= {"ended": batch.ended, "final_observation": batch.final_observation}
        arrays |= join("metrics", batch.metrics)
    if batch.faults:
        header["faults"] = batch.faults
    return Message(header, arrays)


def decode_batch(message: Message) -> Batch:
    """Return the batch of a message."""
    arrays = message.arrays
    rows: dict[str, Any] = {name: arrays[name] for name in _ALWAYS}
    faults = [(instance, reason) for instance, reason in message.header.get("faults", ())]
    if "ended" not in arrays:
        names: Sequence[str] = message.header["metrics"]
        none = first_batch(rows["ids"], rows["observation"], rows["episode"], names)
        return replace(none, **rows, faults=faults)
    return Batch(
        **rows,
        ended=arrays["ended"],
        final_observation=arrays["final_observation"],
        metrics=split("metrics", arrays),
        faults=faults,
    )
