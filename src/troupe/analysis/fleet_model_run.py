"""One run of a modelled fleet: its processes, and what is measured of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from troupe.analysis.fleet_model import Fleet
from troupe.analysis.fleet_model_nodes import Cores, Link, Policies
from troupe.core import Streams

Process = Generator[simpy.Event, Any, None]

IN_FLIGHT = 2
"""Fragments that an asynchronous actor has been asked for at a time."""

MAX_SLICES = 40_000
"""To simulate, unless the least that is to be measured needs more."""

SLICES = 4
"""Parts in which an asynchronous fragment is simulated, where its steps do not all count alike."""

WARM_UP, MEASURED = 2, 2
"""Fragments of each actor, at least."""

UPDATES = 20
"""To be measured of an asynchronous fleet, unless that would be more than `MAX_SLICES`."""

GOLDEN = (5**0.5 - 1) / 2

MIN_ROUNDS, MAX_ROUNDS = 4, 400
"""Synchronous updates to be measured."""


@dataclass
class Pushed:
    """A fragment on its way to the learner.

    Attributes:
        actor: that sampled it.
        groups: versions of the policy that acted, each with how many steps, in order.
    """

    actor: int
    groups: list[tuple[int, float]]


class FleetRun:
    """A simulation of a fleet.

    Attributes:
        num_updates: that were measured.
        measured_s: how long they took.
        lags: of groups of the steps that they took.
        lag_steps: how many steps each of these groups has.
    """

    def __init__(self, fleet: Fleet, workers: int, seed: int) -> None:
        """Place the workers on their nodes."""
        self.num_updates, self.measured_s = 0, 0.0
        self.lags: list[int] = []
        self.lag_steps: list[float] = []
        self._fleet, self._workers = fleet, workers
        self._environment = simpy.Environment()
        self._rng = Streams(seed).generator("fleet-model", instance=workers)
        self._num_steps = fleet.fragment_steps(workers)
        instances = fleet.instances_per_worker
        self._bounds = {shared: self._slice_bounds(shared) for shared in (False, True)}
        self._slice_steps = {
            shared: (np.diff(bounds) * float(instances)).tolist()
            for shared, bounds in self._bounds.items()
        }
        self._fragment_bytes = instances * (self._num_steps * fleet.step_bytes + fleet.state_bytes)
        self._batch = fleet.batch_steps(workers)
        self._into = Link(self._environment, fleet.bits_per_s, fleet.latency_s)
        self._out_of = Link(self._environment, fleet.bits_per_s, fleet.latency_s)
        self._cores = [self._new_cores(i) for i in range(fleet.num_nodes(workers))]
        self._policies = Policies(self._environment, self._out_of, len(self._cores))
        self._version = 0
        self._published = 0
        self._learner_s = self._driver_s = 0.0
        self._num_taken = self._num_slices = 0
        self._fixed: dict[tuple[float, bool], list[tuple[float, float]]] = {}
        self._inbox: deque[Pushed] = deque()
        self._backlog: deque[tuple[int, float]] = deque()
        self._backlog_steps = 0.0
        self._in_flight = [0] * workers
        self._asleep: dict[int, simpy.Event] = {}
        self._arrival = self._environment.event()
        self._round = self._environment.event()

    def run(self) -> None:
        """Simulate until enough is measured."""
        synchronous = self._fleet.mode == "synchronous"
        for actor in range(self._workers):
            process = self._actor_in_rounds if synchronous else self._actor
            self._environment.process(process(actor))
        self._environment.run(until=self._environment.process(self._learner()))

    def busy(self) -> dict[str, float]:
        """Return which share of the whole time each part worked."""
        now, cores = self._environment.now, self._fleet.cores
        return {
            "learner": self._learner_s / now,
            "driver": self._driver_s / now,
            "network in": min(1.0, self._into.busy_s / now),
            "network out": min(1.0, self._out_of.busy_s / now),
            "cores": min(1.0, max(node.busy_s for node in self._cores) / now / cores),
        }

    def _new_cores(self, index: int) -> Cores:
        fleet = self._fleet
        first = index * fleet.workers_per_node
        threads = min(fleet.workers_per_node, self._workers - first)
        if index == 0:
            threads += 2  # the learner and the driver
        return Cores(self._environment, fleet.cores, threads)

    def _actor(self, actor: int) -> Process:
        """Sample for ever, as long as there is a request."""
        # in a fleet that has run for a while, phases are spread, as multiples of this number are
        phase = actor * GOLDEN % 1.0
        whole_s = sum(wait_s + cpu_s for wait_s, cpu_s in self._draw(actor))
        yield self._environment.timeout(phase * whole_s)
        while True:
            if self._in_flight[actor] >= IN_FLIGHT:
                self._asleep[actor] = self._environment.event()
                yield self._asleep[actor]
            self._in_flight[actor] += 1
            yield from self._sample(actor)

    def _actor_in_rounds(self, actor: int) -> Process:
        """Sample a fragment in each round that the driver begins."""
        node = actor // self._fleet.workers_per_node
        while True:
            yield self._round
            until_s = self._policies.arrives_at(node) - self._environment.now
            if until_s > 0:
                yield self._environment.timeout(until_s)
            yield from self._sample(actor)

    def _sample(self, actor: int) -> Process:
        """Take the steps of a fragment and push it."""
        node = actor // self._fleet.workers_per_node
        immediate, cores = self._fleet.update == "immediate", self._cores[node]
        # wait and work by turns
        groups: list[tuple[int, float]] = []
        version = self._policies.version(node)
        slice_steps = self._slice_steps[cores.shared]
        for (wait_s, cpu_s), steps in zip(self._draw(actor), slice_steps, strict=True):
            version = self._policies.version(node) if immediate else version
            groups.append((version, steps))
            self._num_slices += 1
            if not cores.shared:
                cores.busy_s += cpu_s
                yield self._environment.timeout(wait_s + cpu_s)
                continue
            if wait_s > 0:
                yield self._environment.timeout(wait_s)
            yield cores.work(cpu_s)
        # push
        if node == 0:
            sent: simpy.Event = self._environment.timeout(self._fleet.call_s)
        else:
            sent = self._into.send(self._fragment_bytes, delay_s=self._fleet.call_s)
        sent.callbacks.append(partial(self._arrived, Pushed(actor, groups)))

    def _draw(self, actor: int) -> list[tuple[float, float]]:
        """Return waiting and work in each slice of an actor's next fragment, s."""
        fleet, factor = self._fleet, self._fleet.slow_workers.get(actor, 1.0)
        shared = self._cores[actor // fleet.workers_per_node].shared
        known = self._fixed.get((factor, shared))
        if known is not None:
            return known
        wait, cpu = fleet.step.draw(self._rng, fleet.instances_per_worker, self._num_steps)
        # a slow worker works as much as others, and waits for the rest
        wait += (factor - 1) * (wait + cpu)
        drawn = np.add.reduceat(np.stack([wait, cpu]), self._bounds[shared][:-1], axis=1)
        slices: list[tuple[float, float]] = list(zip(*drawn.tolist(), strict=True))
        if fleet.step.is_fixed:
            self._fixed[factor, shared] = slices
        return slices

    def _slice_bounds(self, shared: bool) -> npt.NDArray[np.int64]:
        """Return the steps at which the slices of a fragment begin, and its end."""
        if self._fleet.mode == "synchronous":
            # all begin at once: that they spread over shared cores shows only step by step
            num_slices = self._num_steps if shared else 1
        else:
            matters = shared or self._fleet.update == "immediate"
            num_slices = min(self._num_steps, SLICES) if matters else 1
        return np.linspace(0, self._num_steps, num_slices + 1).round().astype(np.int64)

    def _arrived(self, pushed: Pushed, _: Any) -> None:
        self._inbox.append(pushed)
        if not self._arrival.triggered:
            self._arrival.succeed()

    def _learner(self) -> Process:
        """Learn from batch after batch, and measure once the fleet is warm."""
        fleet, began = self._fleet, -1.0
        update_s = fleet.update_s * self._batch / fleet.batch
        yield from self._collect()
        batch = self._take()
        while True:
            version = self._version
            updating = self._cores[0].work(update_s)
            if fleet.sample_ahead:
                yield self._environment.process(self._collect())
                ahead = self._take()
                yield updating
            else:
                yield updating
                ahead = []
            self._learner_s += update_s
            self._version += 1
            # measure
            if began >= 0:
                self.num_updates += 1
                self.lags += [version - acted for acted, _ in batch]
                self.lag_steps += [steps for _, steps in batch]
                self.measured_s = self._environment.now - began
                if self._is_enough():
                    return
            elif self._num_taken >= WARM_UP * self._workers and self._version >= 2:
                began = self._environment.now
            # the next batch
            if not fleet.sample_ahead:
                yield from self._collect()
                ahead = self._take()
            batch = ahead

    def _is_enough(self) -> bool:
        if self._fleet.mode == "synchronous":
            within_bound = self._num_slices < MAX_SLICES and self.num_updates < MAX_ROUNDS
            return self.num_updates >= MIN_ROUNDS and not within_bound
        if self._num_taken < (WARM_UP + MEASURED) * self._workers:
            return False
        return self.num_updates >= UPDATES or self._num_slices >= MAX_SLICES

    def _collect(self) -> Process:
        """Offer the newest policy, and receive until there are steps for an update."""
        fleet, driver = self._fleet, self._cores[0]
        offer_s = self._publish() * fleet.offer_s
        if offer_s:
            self._driver_s += offer_s
            yield driver.work(offer_s)
        if fleet.mode == "synchronous":
            begin, self._round = self._round, self._environment.event()
            begin.succeed()
        while self._backlog_steps < self._batch:
            if not self._inbox:
                self._arrival = self._environment.event()
                yield self._arrival
            pushed = self._inbox.popleft()
            if fleet.handling_s:
                self._driver_s += fleet.handling_s
                yield driver.work(fleet.handling_s)
            self._receive(pushed)

    def _publish(self) -> int:
        """Send the newest policy to all nodes; return how many actors it is offered to."""
        if self._published == self._version:
            return 0
        self._published = self._version
        self._policies.publish(self._version, self._fleet.policy_bytes)
        return self._workers if self._fleet.mode == "asynchronous" else 0

    def _receive(self, pushed: Pushed) -> None:
        self._num_taken += 1
        self._in_flight[pushed.actor] -= 1
        if pushed.actor in self._asleep:
            self._asleep.pop(pushed.actor).succeed()
        self._backlog += pushed.groups
        self._backlog_steps += sum(steps for _, steps in pushed.groups)

    def _take(self) -> list[tuple[int, float]]:
        """Remove the oldest steps, a batch of them, and return them by version."""
        batch: list[tuple[int, float]] = []
        missing = float(self._batch)
        while missing > 0:
            version, steps = self._backlog.popleft()
            if steps > missing:
                self._backlog.appendleft((version, steps - missing))
                steps = missing
            missing -= steps
            batch.append((version, steps))
        self._backlog_steps -= self._batch
        return batch
