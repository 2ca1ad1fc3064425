"""One process's instances, stepped by a policy; each episode that ends is handed over whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import Ids
from troupe.core.time import NANOSECONDS
from troupe.episodes.store.record import EpisodeRecord
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation, Step
from troupe.fleet.collecting.configs import config_of
from troupe.fleet.collecting.images import Images
from troupe.policies import Policy, PolicyStep

NOISE = "collect"
MAKES_UP_S = 2.0
"""How far a collector with a pace may fall behind, when many images are due, and make up for it."""


class Collector:
    """Goes from episode to episode in every instance, all at their own time.

    An episode follows from the root seed, its instance's global id and its number alone, whatever
    else is collected, and where.

    Attributes:
        simulation: that is stepped.
        steps: of all instances together, those of unfinished episodes included.
        late_s: by how much it lags behind its pace for good, where there is one.
        stepping_s: time spent in the engines and the task.
    """

    def __init__(
        self,
        experiment: Experiment,
        policy: Policy,
        first_instance: int,
        num_instances: int,
        *,
        num_threads: int = 0,
        next_episodes: npt.NDArray[np.int64] | None = None,
        slowdown: float = 1.0,
    ) -> None:
        """Build the simulation.

        Args:
            experiment: with a task.
            policy: that acts, with noise.
            first_instance: global id of the first instance.
            num_instances: how many.
            num_threads: native threads; 0 for one a core.
            next_episodes: numbers of the instances' next episodes, (N,); default: 0.
            slowdown: factor on the engines' declared step time.

        Raises:
            UserError: if anything in the experiment is wrong, or it lacks a datapack that is to be
                kept.
        """
        self._experiment, self._policy = experiment, policy
        self._streams = Streams(experiment.seed)
        self._config, _ = config_of(experiment)
        self.simulation = simulation = Simulation(
            experiment,
            num_instances,
            seed=experiment.seed,
            first_instance=first_instance,
            num_threads=num_threads,
            slowdown=slowdown,
        )
        self._kept = experiment.collect.record
        specs = {name: simulation.world.output(name) for name in self._kept}
        self._images = Images(experiment.collect, simulation)
        if next_episodes is not None:
            simulation.episode[:] = next_episodes - 1
        longest, action = experiment.max_episode_steps, simulation.action_spec
        shape = (longest, num_instances)
        self._rows: dict[str, npt.NDArray[Any]] = {
            "action": np.zeros((*shape, *action.shape), np.float32),
            "log_prob": np.zeros(shape, np.float32),
            "reward": np.zeros(shape, np.float32),
            "time_ns": np.zeros(shape, np.int64),
            **{n: np.zeros((*shape, *s.shape), np.float32) for n, s in specs.items()},
        }
        if experiment.collect.observations:
            seen = simulation.observation_spec
            for name in ("observation", "next_observation"):
                self._rows[name] = np.zeros((*shape, *seen.shape), seen.dtype)
        self._noise = np.zeros((longest, num_instances, policy.noise_size), np.float32)
        self.steps = 0
        self.late_s = self.stepping_s = 0.0

    def begin(self) -> None:
        """Begin an episode in every instance."""
        self._begin(np.arange(self.simulation.num_instances))

    def run(self, pace: float = 0.0) -> Iterator[EpisodeRecord]:
        """Step all instances on and on, and give each episode when it ends.

        Args:
            pace: simulated seconds for each second; 0 for as fast as it goes.
        """
        simulation = self.simulation
        due = time.monotonic()
        every_s = self._experiment.loop.step / NANOSECONDS["s"] / pace if pace else 0.0
        while True:
            self._images.look()
            began = time.perf_counter()
            step = self._step()
            self.stepping_s += time.perf_counter() - began
            ended = np.flatnonzero(step.terminated | step.truncated)
            if len(ended):
                yield from self._records(ended, step)
                self._begin(ended)
            if pace:
                due += every_s
                behind_s = time.monotonic() - due
                time.sleep(max(0.0, -behind_s))
                if behind_s > MAKES_UP_S:
                    self.late_s += behind_s - MAKES_UP_S
                    due += behind_s - MAKES_UP_S
            self.steps += simulation.num_instances

    def example(self) -> EpisodeRecord:
        """Return an episode of no steps, from which a store learns what all have in common."""
        images = self._images.example()
        return EpisodeRecord(
            id="example",
            steps={name: rows[:0, 0] for name, rows in self._rows.items()},
            images=images,
            frames={name: np.zeros(0, np.int32) for name in images},
        )

    def close(self) -> None:
        """Close the engines."""
        self.simulation.close()

    def _begin(self, ids: Ids) -> None:
        """Begin the next episodes of instances."""
        simulation = self.simulation
        simulation.reset(ids)
        self._images.begin(ids)
        for i in ids:
            instance = simulation.first_instance + int(i)
            stream = self._streams.generator(NOISE, instance, int(simulation.episode[i]))
            self._noise[:, i] = stream.standard_normal(self._noise[:, i].shape, np.float32)

    def _step(self) -> Step:
        """Act where an action counts, and keep what happened."""
        simulation, at = self.simulation, self.simulation.episode_step.copy()
        rows = np.arange(simulation.num_instances)
        observation = simulation.observe()
        acted = self._act(observation, self._noise[at, rows])
        self._rows["action"][at, rows] = acted.action
        self._rows["log_prob"][at, rows] = acted.log_prob
        self._rows["time_ns"][at, rows] = at * simulation.loop.step_ns
        for name in self._kept:
            self._rows[name][at, rows] = simulation.world.read(name)
        keeps_observations = self._experiment.collect.observations
        if keeps_observations:
            self._rows["observation"][at, rows] = observation
        step = simulation.step(acted.action)
        self._rows["reward"][at, rows] = step.reward
        if keeps_observations:
            self._rows["next_observation"][at, rows] = step.observation
        return step

    def _act(self, observation: npt.NDArray[Any], noise: npt.NDArray[np.float32]) -> PolicyStep:
        """Return what the policy does, and zeros where actions do not count."""
        simulation = self.simulation
        first, counts = simulation.first_instance, simulation.task.decides(simulation.world)
        if counts.all():
            return self._policy.act(observation, noise, first)
        num, shape = simulation.num_instances, simulation.action_spec.shape
        action, log_prob = np.zeros((num, *shape), np.float32), np.zeros(num, np.float32)
        for i in np.flatnonzero(counts):  # one by one, so that none depends on who else decides
            acted = self._policy.act(observation[i : i + 1], noise[i : i + 1], first + int(i))
            action[i], log_prob[i] = acted.action[0], acted.log_prob[0]
        return PolicyStep(action, log_prob)

    def _records(self, ended: Ids, step: Step) -> list[EpisodeRecord]:
        """Return the episodes that have ended in instances."""
        metrics = self.simulation.metrics()
        self._images.end(ended)
        faults = {fault.instance: fault.reason for fault in step.faults}
        return [self._record(int(i), metrics, step, faults.get(int(i), "")) for i in ended]

    def _record(
        self, i: int, metrics: Mapping[str, npt.NDArray[Any]], step: Step, fault: str
    ) -> EpisodeRecord:
        simulation, experiment = self.simulation, self._experiment
        instance, episode = simulation.first_instance + i, int(simulation.episode[i])
        length = int(simulation.episode_step[i])
        images, frames = self._images.take(i)
        return EpisodeRecord(
            id=f"{experiment.name}-{experiment.seed}-{instance}-{episode}",
            about={
                "experiment": experiment.name,
                "config": self._config,
                "seed": experiment.seed,
                "instance": instance,
                "episode": episode,
                "policy_version": self._policy.version,
                "length": length,
                "return": float(self._rows["reward"][:length, i].sum()),
                "terminated": bool(step.terminated[i]),
                "fault": fault,
                **{name: float(values[i]) for name, values in metrics.items()},
            },
            draws=dict(simulation.task.draws(simulation.world, i)),
            steps={name: rows[:length, i].copy() for name, rows in self._rows.items()},
            images=images,
            frames=frames,
        )
