"""Sampling alone beside bare ``Batch.step``: what engine, loop, task and policy add to it.

One trajectory of `scara-reach`, done in three ways in one process, in turn: by a `Sampler` with a
policy in numpy; by a `Simulation` with the same actions at hand; and by the bare batch with the
same joint commands and resets at hand. All end in the same state, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from benchmarks.harness import BenchmarkError, Options, Table, in_turn, ratio, short, write_result
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sampler
from troupe.policies import MlpPolicy

Values = npt.NDArray[Any]

EXPERIMENT = "scara-reach"
HIDDEN = (64, 64)
MUST, REACH_FOR = 0.85, 0.95


@dataclass(frozen=True)
class Trajectory:
    """What all ways do: T steps of N instances.

    Attributes:
        policy: that chose the actions.
        actions: (T, N, A).
        commands: to the joints, (T, N, A), rad.
        resets: after a step: which instances, and their joint positions and commands then.
        final: joint positions in the end, (N, A), rad.
    """

    policy: MlpPolicy
    actions: Values
    commands: list[Values]
    resets: dict[int, tuple[Values, Values, Values]]
    final: Values


def run(options: Options) -> None:
    """Measure with one and two threads and write the result."""
    rounds = options.choose(25, 2, options.rounds)
    num_steps = options.choose(200, 110)
    experiment = load_experiment(EXPERIMENT)
    trajectory = record(experiment, num_steps)
    num_control_steps = num_steps * experiment.fleet.instances
    rows, measured = [], []
    for threads in (1, 2):
        ways = {
            "bare Batch.step": bare_batch(experiment, trajectory, threads),
            "Simulation.step, actions at hand": stepped(experiment, trajectory, threads),
            "Sampler.sample with its policy": sampled(experiment, trajectory, threads),
        }
        seconds = in_turn(ways, rounds)
        bare = seconds["bare Batch.step"]
        for way, own in seconds.items():
            speed = ratio(bare, own)
            rate = num_control_steps / float(np.median(own))
            must = "" if own is bare else f"≥ {MUST}, reach for {REACH_FOR}"
            rows.append([str(threads), way, short(rate), str(speed), must])
            measured.append({"threads": threads, "way": way, "seconds": own, "ratio": vars(speed)})
    table = Table(
        f"{EXPERIMENT}, {experiment.fleet.instances} instances × {num_steps} steps, "
        f"{rounds} rounds",
        ["threads", "way", "control steps/s", "speed / bare", "must"],
        rows,
    )
    print(table)
    write_result("sampling", options, [table], measured=measured)


def record(experiment: Experiment, num_steps: int) -> Trajectory:
    """Let a policy act, then step its actions again and note commands and resets."""
    sampler = _sampler(experiment, threads=0)
    policy = _policy(sampler.simulation)
    sampler.policies.newest = policy
    actions = sampler.sample(num_steps).fragment.action
    simulation, commands, resets = _sampler(experiment, threads=0).simulation, [], {}
    for t in range(num_steps):
        step = simulation.step(actions[t])
        commands.append(_command(simulation).copy())
        done = np.flatnonzero(step.terminated | step.truncated)
        if len(done):
            simulation.reset(done)
            resets[t] = done, _position(simulation)[done], _command(simulation)[done]
    return Trajectory(policy, actions, commands, resets, _position(simulation).copy())


def bare_batch(experiment: Experiment, trajectory: Trajectory, threads: int) -> Callable[[], float]:
    """Return a function that steps the bare batch and tells how long it takes."""
    substeps, stage = _substeps(experiment), mujoco.mjtStage.mjSTAGE_VEL
    fresh = _sampler(experiment, threads=1).simulation
    start = _position(fresh).copy(), _command(fresh).copy()
    model = fresh.loop.engines["arm"].model  # type: ignore[attr-defined]
    batch = Batch(model, experiment.fleet.instances, threads, persistent=True)
    qpos, ctrl = batch.bind("qpos"), batch.bind("ctrl")
    everyone = np.arange(experiment.fleet.instances)

    def reset(instances: Values, position: Values, command: Values) -> None:
        batch.reset(instances, keyframe=0, stage=mujoco.mjtStage.mjSTAGE_NONE)
        qpos[instances], ctrl[instances] = position, command
        batch.forward(instances, stage)

    def measure() -> float:
        reset(everyone, *start)
        began = time.perf_counter()
        for t, command in enumerate(trajectory.commands):
            ctrl[...] = command
            batch.step(None, substeps, stage)
            if t in trajectory.resets:
                reset(*trajectory.resets[t])
        seconds = time.perf_counter() - began
        _check_end(qpos, trajectory)
        return seconds

    return measure


def stepped(experiment: Experiment, trajectory: Trajectory, threads: int) -> Callable[[], float]:
    """Return a function that steps a simulation with the actions and tells how long it takes."""
    simulation = _sampler(experiment, threads).simulation
    start = simulation.snapshot()

    def measure() -> float:
        simulation.restore(start)
        began = time.perf_counter()
        for action in trajectory.actions:
            step = simulation.step(action)
            done = np.flatnonzero(step.terminated | step.truncated)
            if len(done):
                simulation.reset(done)
                simulation.observe()
        seconds = time.perf_counter() - began
        _check_end(_position(simulation), trajectory)
        return seconds

    return measure


def sampled(experiment: Experiment, trajectory: Trajectory, threads: int) -> Callable[[], float]:
    """Return a function that samples with the policy and tells how long it takes."""
    sampler = _sampler(experiment, threads)
    start = sampler.snapshot()

    def measure() -> float:
        sampler.restore(start)
        sampler.policies.newest = trajectory.policy
        began = time.perf_counter()
        sampler.sample(len(trajectory.actions))
        seconds = time.perf_counter() - began
        _check_end(_position(sampler.simulation), trajectory)
        return seconds

    return measure


def _sampler(experiment: Experiment, threads: int) -> Sampler:
    """Return a sampler whose instances have begun their first episodes."""
    instances, seed = experiment.fleet.instances, experiment.seed
    simulation = Simulation(experiment, instances, seed=seed, num_threads=threads)
    noise_size = simulation.action_spec.shape[0]
    return Sampler(simulation, seed, noise_size)


def _policy(simulation: Simulation) -> MlpPolicy:
    """Return a policy with weights drawn at random."""
    rng = np.random.default_rng(0)
    (num_observations,) = simulation.observation_spec.shape
    widths = [num_observations, *HIDDEN, *simulation.action_spec.shape]
    parameters = {"log_std": np.zeros(widths[-1], np.float32)}
    for layer, (inner, outer) in enumerate(pairwise(widths)):
        weight = rng.standard_normal((inner, outer)) / np.sqrt(inner)
        parameters[f"actor.{layer}.weight"] = weight.astype(np.float32)
        parameters[f"actor.{layer}.bias"] = np.zeros(outer, np.float32)
    mean = np.zeros(num_observations, np.float32)
    return MlpPolicy(parameters, mean, np.ones_like(mean))


def _substeps(experiment: Experiment) -> int:
    timestep_ns = experiment.engines["arm"].timestep  # type: ignore[attr-defined]
    return int(experiment.loop.step / timestep_ns)


def _command(simulation: Simulation) -> Values:
    return simulation.world.read("arm.joint_target")


def _position(simulation: Simulation) -> Values:
    return simulation.world.read("arm.joint_position")


def _check_end(position: Values, trajectory: Trajectory) -> None:
    if not np.array_equal(position, trajectory.final):
        raise BenchmarkError("sampling: the ways did not do the same, so they do not compare")
