"""A discrete-event model of a fleet: how fast it samples and learns, and how old its data are.

Actors step, push fragments over the network and get policies; a driver collects batches; the
learner makes the next policy of each. Nothing is simulated of what is learned. The assumptions
are listed in docs/how-to/plan-a-fleet.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from troupe.analysis.fleet_model_nodes import ActorStep

Mode = Literal["synchronous", "asynchronous"]
PolicyUpdate = Literal["immediate", "fragment"]


@dataclass(frozen=True)
class Fleet:
    """A fleet, but for the number of its workers.

    Attributes:
        step: of an actor.
        instances_per_worker: that an actor steps in lockstep.
        batch: steps of an update, of all instances together.
        update_s: of the learner for a batch, on one core of the first node.
        mode: synchronous: all actors sample the batch together, and the slowest is waited for;
            asynchronous: the learner takes fragments as they come.
        fragment: steps of each instance that an asynchronous actor pushes at a time.
        update: when an asynchronous actor takes up a newer policy.
        max_lag: by which 95 % of an asynchronous fleet's steps may be behind; to hold it, actors
            push shorter fragments.
        sample_ahead: whether the next batch is collected during an update (lag 1).
        step_bytes: that a step of one instance adds to a fragment.
        state_bytes: of one instance's snapshot, which goes with each fragment.
        policy_bytes: that go to each node, once for each version.
        bits_per_s: of the learner's network connection, in each direction.
        latency_s: of a message between two machines.
        call_s: from the end of a fragment until the driver can have it, on any machine.
        handling_s: of the driver for each fragment, one after the other, on the first node.
        offer_s: of the driver for each worker to which it offers a policy in mid-fragment.
        cores: of each node.
        workers_per_node: the first ones share their node with driver and learner.
        slow_workers: how many times as long a worker takes for a step, by its number; 1 for others.
    """

    step: ActorStep
    instances_per_worker: int
    batch: int
    update_s: float
    mode: Mode = "synchronous"
    fragment: int = 32
    update: PolicyUpdate = "immediate"
    max_lag: int | None = None
    sample_ahead: bool = False
    step_bytes: float = 0.0
    state_bytes: float = 0.0
    policy_bytes: float = 0.0
    bits_per_s: float = 1e9
    latency_s: float = 0.0
    call_s: float = 0.0
    handling_s: float = 0.0
    offer_s: float = 0.0
    cores: int = 1
    workers_per_node: int = 1
    slow_workers: Mapping[int, float] = field(default_factory=dict)

    def num_nodes(self, workers: int) -> int:
        """Return how many machines there are."""
        return math.ceil(workers / self.workers_per_node)

    def fragment_steps(self, workers: int) -> int:
        """Return how many steps of each instance an actor pushes at a time.

        A synchronous batch is divided over all; it has at least one step of each.
        """
        if self.mode == "asynchronous":
            return self.fragment
        return math.ceil(self.batch / (workers * self.instances_per_worker))

    def batch_steps(self, workers: int) -> int:
        """Return how many steps an update takes: the batch, or what all actors push at once."""
        if self.mode == "asynchronous":
            return self.batch
        return self.fragment_steps(workers) * workers * self.instances_per_worker


@dataclass(frozen=True)
class Forecast:
    """What a number of workers would do, in steady state.

    Attributes:
        workers: how many.
        steps_per_s: of all instances together that are learned from.
        lag_mean: versions of the policy between the newest and the one that acted, over steps.
        lag_p95: its 95th percentile.
        fragment: steps of each instance that an actor pushes at a time.
        batch: steps of an update.
        updates: that were simulated in steady state.
        busy: share of the time in which each part works: learner, driver, network into and out
            of the learner's machine, cores of its machine, and of the busiest of the others.
    """

    workers: int
    steps_per_s: float
    lag_mean: float
    lag_p95: float
    fragment: int
    batch: int
    updates: int
    busy: dict[str, float]


def forecast(fleet: Fleet, workers: int, seed: int = 0) -> Forecast:
    """Return what a fleet of so many workers does; the same for the same seed.

    However many workers there are, the number of fragments that are simulated is bounded, so that
    it takes a few seconds at most.
    """
    found = _simulated(fleet, workers, seed)
    if fleet.mode == "synchronous" or fleet.max_lag is None:
        return found
    # the fleet shortens fragments until the lag holds, or they are of one step
    while found.lag_p95 > fleet.max_lag and fleet.fragment > 1:
        shorter = math.floor(fleet.fragment * fleet.max_lag / (found.lag_p95 + 1))
        fleet = replace(fleet, fragment=max(1, shorter))
        found = _simulated(fleet, workers, seed)
    return found


def _simulated(fleet: Fleet, workers: int, seed: int) -> Forecast:
    from troupe.analysis.fleet_model_run import FleetRun

    run = FleetRun(fleet, workers, seed)
    run.run()
    lags, steps = np.array(run.lags), np.array(run.lag_steps)
    order = np.argsort(lags, kind="stable")
    below = np.cumsum(steps[order])
    return Forecast(
        workers=workers,
        steps_per_s=run.num_updates * fleet.batch_steps(workers) / run.measured_s,
        lag_mean=float(np.average(lags, weights=steps)),
        lag_p95=float(lags[order[np.searchsorted(below, 0.95 * below[-1])]]),
        fragment=fleet.fragment_steps(workers),
        batch=fleet.batch_steps(workers),
        updates=run.num_updates,
        busy=run.busy(),
    )
