"""Engines that are as slow as their settings declare, to stand for slow simulators."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids, as_indices
from troupe.core.seeding import Streams
from troupe.core.time import NANOSECONDS
from troupe.engines.base import ConcurrentEngine, Engine, EngineSettings
from troupe.engines.step_times import DrawnTime

Snapshot = Mapping[str, npt.NDArray[Any]]


def declared_slow(engine: Engine, settings: EngineSettings, slowdown: float = 1.0) -> Engine:
    """Return an engine that is as slow as its settings declare; itself if they declare nothing.

    Args:
        engine: to slow down, here or elsewhere.
        settings: of the engine, with its ``step_time``.
        slowdown: factor on that time.
    """
    if settings.step_time is None:
        return engine
    times: StepTimes
    if isinstance(settings.step_time, DrawnTime):
        times = DrawnTimes(settings.step_time, engine.spec.name, engine.spec.num_instances)
    else:
        times = FixedTimes(settings.step_time, engine.spec.num_instances)
    kind = SlowConcurrentEngine if isinstance(engine, ConcurrentEngine) else SlowEngine
    return kind(engine, times, slowdown)


class StepTimes(Protocol):
    """How long the instances' steps take."""

    def reset(self, seeds: Sequence[int], instances: Ids | None) -> None:
        """Begin anew with seeds, one for each of the instances."""

    def take(self, instances: Ids | None) -> float:
        """Return the time of the next step of instances together, ns."""

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the next times depend on, as arrays that lead with the instances."""

    def restore(self, snapshot: Snapshot, instances: Ids | None) -> None:
        """Return instances to a snapshot, or leave them as they are if it is of other times."""


class FixedTimes:
    """The same time for each step of an instance."""

    def __init__(self, step_time_ns: int, num_instances: int) -> None:
        """Take the time."""
        self._step_time_ns = step_time_ns
        self._num_instances = num_instances

    def reset(self, seeds: Sequence[int], instances: Ids | None) -> None:
        """Do nothing."""

    def take(self, instances: Ids | None) -> float:
        """Return the time of a step of instances together, ns."""
        num_stepped = self._num_instances if instances is None else len(instances)
        return float(num_stepped * self._step_time_ns)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return nothing."""
        return {}

    def restore(self, snapshot: Snapshot, instances: Ids | None) -> None:
        """Do nothing."""


class DrawnTimes:
    """A time drawn for each step, from the instance's seed and its steps since the reset.

    Since the seeds follow from the root seed, the instance's global id and the episode, so do the
    times, however instances are divided over workers.
    """

    def __init__(self, settings: DrawnTime, engine: str, num_instances: int) -> None:
        """Begin as if reset with seeds 0.

        Args:
            settings: the distribution.
            engine: its name, so that engines of one loop are slow at different times.
            num_instances: how many.
        """
        self._settings = settings
        self._purpose = f"step-time {engine}"
        self._arrays = {
            "step_time.seed": np.zeros(num_instances, np.uint64),
            "step_time.step": np.zeros(num_instances, np.int64),
        }
        self._seed, self._step = self._arrays.values()

    def reset(self, seeds: Sequence[int], instances: Ids | None) -> None:
        """Begin anew with seeds, one for each of the instances."""
        ids = as_indices(instances, len(self._seed))
        self._seed[ids] = list(seeds)
        self._step[ids] = 0

    def take(self, instances: Ids | None) -> float:
        """Return the time of the next step of instances together, ns."""
        ids = as_indices(instances, len(self._seed))
        steps = zip(self._seed[ids].tolist(), self._step[ids].tolist(), strict=True)
        streams = (Streams(seed).generator(self._purpose, 0, step) for seed, step in steps)
        self._step[ids] += 1
        return sum(self._settings.draw_ns(stream) for stream in streams)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the seeds and the steps since the resets."""
        return {name: values.copy() for name, values in self._arrays.items()}

    def restore(self, snapshot: Snapshot, instances: Ids | None) -> None:
        """Return instances to a snapshot, or leave them as they are if it is of other times."""
        ids = as_indices(instances, len(self._seed))
        for name, values in self._arrays.items():
            if name in snapshot:
                values[ids] = snapshot[name][ids]


class SlowEngine:
    """An engine whose advances take a declared real time; it does what it would do anyhow.

    Its instances take their times one after the other, as simulators do that cannot share a
    process's time. What the engine itself needs is part of the time.
    """

    def __init__(
        self,
        engine: Engine,
        times: StepTimes,
        slowdown: float = 1.0,
        *,
        now_s: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Slow an engine down.

        Args:
            engine: as fast as it goes.
            times: of its steps.
            slowdown: factor on them.
            now_s: clock of real time, seconds.
            sleep: waits for so many seconds of it.
        """
        self.spec = engine.spec
        self.slowdown = slowdown
        self.engine = engine
        self.times = times
        # called more often than anything else, and no slower than the engine's own
        self.write, self.read, self.faults = engine.write, engine.read, engine.faults
        self._now_s, self._sleep = now_s, sleep
        self._ready_s = 0.0

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Put instances into their initial state, one seed each."""
        self.times.reset(seeds, instances)
        self.engine.reset(seeds, instances)

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance simulated time; by 0 it takes no longer than the engine itself."""
        self._begin(duration_ns, instances)
        self.engine.advance(duration_ns, instances)
        self._wait()

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances, and of their times."""
        return {**self.engine.snapshot(), **self.times.snapshot()}

    def restore(self, snapshot: Snapshot, instances: Ids | None = None) -> None:
        """Return instances to a snapshot's state, bit for bit."""
        self.times.restore(snapshot, instances)
        own = self.times.snapshot()
        others = {name: values for name, values in snapshot.items() if name not in own}
        self.engine.restore(others, instances)

    def close(self) -> None:
        """Release what the engine holds."""
        self.engine.close()

    def _begin(self, duration_ns: int, instances: Ids | None = None) -> None:
        step_ns = self.times.take(instances) * self.slowdown if duration_ns else 0.0
        self._ready_s = self._now_s() + step_ns / NANOSECONDS["s"]

    def _wait(self) -> None:
        remaining_s = self._ready_s - self._now_s()
        if remaining_s > 0:
            self._sleep(remaining_s)


class SlowConcurrentEngine(SlowEngine):
    """The same for one that advances elsewhere: its times pass while this process does its work."""

    engine: ConcurrentEngine

    def begin(self, duration_ns: int) -> None:
        """Start to advance all instances."""
        self._begin(duration_ns)
        self.engine.begin(duration_ns)

    def poll(self) -> bool:
        """Return at once whether `finish` would not wait."""
        is_done: Callable[[], bool] = getattr(self.engine, "poll", lambda: True)
        return is_done() and self._now_s() >= self._ready_s

    def finish(self) -> None:
        """Wait for the advance that was begun."""
        self.engine.finish()
        self._wait()
