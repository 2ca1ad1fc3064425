"""What a modelled fleet is made of: step times, cores that are shared, links that queue."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import simpy

from troupe.core.arrays import Array

TIME_SLICE_S = 3e-3
"""For how long a core stays with one thread while others wait for it, as Linux does by default."""


@dataclass(frozen=True)
class SimulatorTime:
    """The time that a slow simulator takes for one step of one instance.

    Attributes:
        mean_s: of the distribution.
        kind: fixed, or with a heavy tail.
        spread: exponent of ``pareto``, over 1; deviation of the logarithm of ``lognormal``.
        longest_s: a step takes no longer.
    """

    mean_s: float
    kind: Literal["fixed", "pareto", "lognormal"] = "fixed"
    spread: float = 0.0
    longest_s: float | None = None

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return times, s."""
        if self.kind == "fixed":
            return np.full(shape, self.mean_s)
        if self.kind == "pareto":
            drawn = (self.spread - 1) / self.spread * (1 + rng.pareto(self.spread, shape))
        else:
            drawn = np.exp(self.spread * rng.standard_normal(shape) - self.spread**2 / 2)
        return np.minimum(self.mean_s * drawn, self.longest_s or np.inf)


@dataclass(frozen=True)
class ActorStep:
    """What an actor does in one step of all its instances.

    Attributes:
        cpu_s: on a core: engines, loop, task and policy.
        engine_s: the part of it that counts as the simulator's time.
        wait_s: in which the core is free.
        simulator: of each instance, one after the other; None if it takes no more than measured.
        simulator_cpu: share of the simulator's time on a core of the node; the rest is waiting.
    """

    cpu_s: float
    engine_s: float = 0.0
    wait_s: float = 0.0
    simulator: SimulatorTime | None = None
    simulator_cpu: float = 0.0

    @property
    def is_fixed(self) -> bool:
        """Whether all steps take the same time."""
        return self.simulator is None or self.simulator.kind == "fixed"

    def draw(
        self, rng: np.random.Generator, num_instances: int, num_steps: int
    ) -> tuple[Array, Array]:
        """Return waiting and work in each of the steps, s, both (num_steps,)."""
        wait, cpu = np.full(num_steps, self.wait_s), np.full(num_steps, self.cpu_s)
        if self.simulator is not None:
            whole = self.simulator.draw(rng, (num_steps, num_instances)).sum(axis=1)
            busy = np.maximum(self.simulator_cpu * whole, self.engine_s)
            cpu += busy - self.engine_s
            wait += np.maximum(whole - busy, 0.0)
        return wait, cpu


class Cores:
    """The cores of a node: first come, first served, in time slices where work is longer.

    Attributes:
        shared: whether there are more threads than cores, so that work may have to wait.
        busy_s: that all cores together have worked.
    """

    def __init__(self, environment: simpy.Environment, num_cores: int, num_threads: int) -> None:
        """Start idle."""
        self.shared = num_threads > num_cores
        self.busy_s = 0.0
        self._environment = environment
        self._free = num_cores
        self._queue: deque[tuple[float, simpy.Event]] = deque()

    def work(self, seconds: float) -> simpy.Event:
        """Return the event at which this much work of one thread is done."""
        self.busy_s += seconds
        if not self.shared:
            return self._environment.timeout(seconds)
        done = self._environment.event()
        self._queue.append((seconds, done))
        self._dispatch()
        return done

    def _dispatch(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            left_s, done = self._queue.popleft()
            slice_s = min(left_s, TIME_SLICE_S)
            timeout = self._environment.timeout(slice_s)
            timeout.callbacks.append(partial(self._ended, left_s - slice_s, done))

    def _ended(self, left_s: float, done: simpy.Event, _: Any) -> None:
        self._free += 1
        if left_s > 1e-12:
            self._queue.append((left_s, done))
        else:
            done.succeed()
        self._dispatch()


class Link:
    """One direction of the learner's network connection: messages queue for its bandwidth.

    Attributes:
        busy_s: that something was on it.
    """

    def __init__(self, environment: simpy.Environment, bits_per_s: float, latency_s: float) -> None:
        """Start idle."""
        self.busy_s = 0.0
        self._environment = environment
        self._s_per_byte = 8 / bits_per_s
        self._latency_s = latency_s
        self._free_at = 0.0

    def send(self, num_bytes: float, delay_s: float = 0.0) -> simpy.Event:
        """Return the event at which a message has arrived, and been dealt with for `delay_s`."""
        arrives_at = float(self.arrivals(num_bytes, 1)[0])
        return self._environment.timeout(arrives_at - self._environment.now + delay_s)

    def arrivals(self, num_bytes: float, num_messages: int) -> Array:
        """Send messages of the same size and return when each arrives."""
        duration_s = num_bytes * self._s_per_byte
        free_at = max(self._environment.now, self._free_at)
        ends = free_at + duration_s * np.arange(1, num_messages + 1, dtype=np.float64)
        self.busy_s += duration_s * num_messages
        self._free_at = free_at + duration_s * num_messages
        return ends + self._latency_s


class Policies:
    """Which policy has reached each node; the learner's, node 0, has it at once.

    No more than one is on its way to a node, so that a slow network does not fall behind.
    """

    def __init__(self, environment: simpy.Environment, link: Link, num_nodes: int) -> None:
        """Begin with version 0 everywhere."""
        self._environment, self._link = environment, link
        self._version = np.zeros(num_nodes, np.int64)
        self._arriving = np.zeros(num_nodes, np.int64)
        self._arrives_at = np.zeros(num_nodes)

    def publish(self, version: int, num_bytes: float) -> None:
        """Send a version to each node to which none is on its way."""
        free = np.flatnonzero(self._arrives_at <= self._environment.now)
        self._version[free] = self._arriving[free]
        self._arriving[free] = version
        self._arrives_at[free[1:]] = self._link.arrivals(num_bytes, len(free) - 1)
        self._version[0] = version

    def version(self, node: int) -> int:
        """Return the newest version that a node has."""
        has_arrived = self._arrives_at[node] <= self._environment.now
        return int((self._arriving if has_arrived else self._version)[node])

    def arrives_at(self, node: int) -> float:
        """Return when the last version that was sent to a node is there."""
        return float(self._arrives_at[node])
