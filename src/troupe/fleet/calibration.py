"""What an experiment's parts take on this machine, measured within a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from threadpoolctl import threadpool_limits

from troupe.episodes import Backlog, Fragment
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.cluster import connected
from troupe.fleet.sampler import Sampler
from troupe.fleet.training import learner_settings
from troupe.learning.base import Learner
from troupe.policies import MlpPolicy

MEASURE_S = 0.3
"""How long each part is measured."""

ACTOR_STARTUP_S = 0.8
"""On a core, until a Ray actor has imported what it needs."""


@dataclass(frozen=True)
class CallTimes:
    """What calls of Ray actors take; the defaults were measured on one machine with two cores.

    Attributes:
        call_s: of a call whose result is waited for.
        handling_s: of the caller's part of it, when many are under way.
        offer_s: of a call whose result nobody wants.
    """

    call_s: float = 1.0e-3
    handling_s: float = 0.5e-3
    offer_s: float = 0.1e-3


@dataclass(frozen=True)
class Calibration:
    """What the parts of an experiment take.

    Attributes:
        measured: whether on this machine; else they are typical of a small experiment.
        step_cpu_s: of an actor's step of all its instances, policy included, on one thread.
        step_wait_s: for how long that step waits, e.g. for an engine in another process.
        engine_s: of the engines and their loop in it, without the declared ``step_time``.
        update_s: of the learner for a batch.
        step_bytes: of a step of one instance in a fragment.
        state_bytes: of one instance's snapshot.
        policy_bytes: of weights and normaliser.
        startup_s: until the first step can be sampled and learned from.
    """

    measured: bool
    step_cpu_s: float
    step_wait_s: float
    engine_s: float
    update_s: float
    step_bytes: float
    state_bytes: float
    policy_bytes: float
    startup_s: float


def typical(num_instances: int, batch: int) -> Calibration:
    """Return what a small arm in MuJoCo and a small network take, instead of measuring."""
    return Calibration(
        measured=False,
        step_cpu_s=1e-4 + 2e-5 * num_instances,
        step_wait_s=0.0,
        engine_s=1e-5 + 1.8e-5 * num_instances,
        update_s=6.5e-6 * batch,
        step_bytes=120.0,
        state_bytes=600.0,
        policy_bytes=25_000.0,
        startup_s=3.0,
    )


def calibrate(experiment: Experiment, num_instances: int) -> Calibration:
    """Measure an experiment's parts in this process; nothing is written.

    Slowness that its engines declare is left out: it is known.

    Args:
        experiment: with a task and a learner.
        num_instances: that an actor steps in lockstep.

    Raises:
        UserError: if anything in the experiment is wrong.
    """
    began = time.perf_counter()
    settings = learner_settings(experiment)
    fast = {n: e.model_copy(update={"step_time": None}) for n, e in experiment.engines.items()}
    experiment = experiment.model_copy(update={"engines": fast})
    simulation = Simulation(experiment, num_instances, seed=experiment.seed, num_threads=1)
    try:
        num_updates = -(-experiment.steps // settings.batch)
        specs = simulation.observation_spec, simulation.action_spec
        goals = experiment.goals()
        learner = settings.build(*specs, experiment.seed, num_updates, goals)
        instances = experiment.fleet.instances
        columns = instances if settings.batch % instances == 0 else 1
        learner.prepare(settings.batch // columns, columns)
        startup_s = time.perf_counter() - began
        with threadpool_limits(1):
            fragment, snapshot_bytes, step = _measure_steps(simulation, learner, experiment.seed)
            engine = _measure(simulation.loop.advance)
        update = _measure_update(learner, fragment, settings.batch, columns)
    finally:
        simulation.close()
    return Calibration(
        measured=True,
        step_cpu_s=step.cpu_s,
        step_wait_s=step.wait_s,
        engine_s=min(engine.cpu_s, step.cpu_s),
        update_s=update.cpu_s + update.wait_s,
        step_bytes=sum(a.nbytes for a in fragment.arrays().values()) / fragment.num_steps,
        state_bytes=snapshot_bytes / num_instances,
        policy_bytes=float(_num_bytes(learner.policy())),
        startup_s=startup_s,
    )


def measure_calls(address: str, num_bytes: int) -> CallTimes:
    """Measure calls of actors on a Ray cluster.

    Args:
        address: of the cluster.
        num_bytes: of the results that are waited for.

    Raises:
        UserError: if nothing answers at the address.
    """
    with connected(address):
        actor_class: Any = ray.remote(num_cpus=0)(_Caller)
        actors = [actor_class.remote() for _ in range(4)]
        try:
            ray.get([actor.call.remote(num_bytes) for actor in actors])
            call = _measure(lambda: ray.get(actors[0].call.remote(num_bytes)))
            rounds = [actor for _ in range(16) for actor in actors]
            many = _measure(lambda: ray.get([actor.call.remote(num_bytes) for actor in rounds]))
            offers = _measure(lambda: [actor.call.remote(0) for actor in actors])
        finally:
            for actor in actors:
                ray.kill(actor)
    return CallTimes(call.whole_s, many.whole_s / len(rounds), offers.whole_s / len(actors))


class _Caller:
    """An actor that does nothing but answer."""

    def call(self, num_bytes: int) -> npt.NDArray[np.uint8]:
        """Return an answer of some size."""
        return np.zeros(num_bytes, np.uint8)


@dataclass(frozen=True)
class _Time:
    """What something takes each time: work of this process, and waiting."""

    cpu_s: float
    wait_s: float

    @property
    def whole_s(self) -> float:
        """Both together."""
        return self.cpu_s + self.wait_s


def _measure(act: Callable[[], object], at_least: int = 3) -> _Time:
    """Do something again and again, and return the mean without what others took of the cores."""
    act()  # the first time is slower
    repeats = 0
    wall_s, cpu_s, queued_s = time.perf_counter(), time.process_time(), _queued_s()
    while repeats < at_least or time.perf_counter() - wall_s < MEASURE_S:
        act()
        repeats += 1
    cpu_s = time.process_time() - cpu_s
    wall_s = time.perf_counter() - wall_s - (_queued_s() - queued_s)
    return _Time(cpu_s / repeats, max(0.0, wall_s - cpu_s) / repeats)


def _queued_s() -> float:
    """Return for how long this process's threads have waited for a core; 0 if nobody says."""
    files = Path("/proc/self/task").glob("*/schedstat")
    try:
        return sum(int(file.read_text().split()[1]) for file in files) / 1e9
    except (OSError, IndexError):
        return 0.0


def _measure_steps(
    simulation: Simulation, learner: Learner, seed: int
) -> tuple[Fragment, int, _Time]:
    """Sample as an actor does; return a fragment, a snapshot's bytes, and the time of a step."""
    policy = learner.policy()
    sampler = Sampler(simulation, seed, policy.noise_size)
    sampler.policies.newest = policy
    # as many steps as fit into a tenth of the time
    began = time.perf_counter()
    sampler.sample(1)
    num_steps = max(1, min(64, int(MEASURE_S / 10 / (time.perf_counter() - began))))
    fragment = sampler.sample(num_steps).fragment
    snapshot_bytes = sum(array.nbytes for array in sampler.snapshot().values())
    whole = _measure(lambda: (sampler.sample(num_steps), sampler.snapshot()))
    return fragment, snapshot_bytes, _Time(whole.cpu_s / num_steps, whole.wait_s / num_steps)


def _measure_update(learner: Learner, fragment: Fragment, batch: int, columns: int) -> _Time:
    """Learn from batches made of copies of a fragment."""
    backlog = Backlog()
    while backlog.num_steps < batch:
        backlog.add(fragment)
    steps = backlog.take(batch // columns, columns)
    return _measure(lambda: learner.update(steps))


def _num_bytes(policy: MlpPolicy) -> int:
    arrays = [*policy.parameters.values(), policy.mean, policy.scale]
    return sum(array.nbytes for array in arrays)
