"""Instances of an experiment: engines, loop and task, stepped together, episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import Streams
from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.engines.base import Fault
from troupe.experiments.build import build_loop
from troupe.experiments.schema import Experiment
from troupe.loop import FixedStepLoop
from troupe.tasks.base import Bools

STAGGERED_TOGETHER = 8
"""Instances whose episodes begin together: several resets at once cost little more than one."""

EPISODE_STATE = ("episode", "episode_step", "step_limit")


@dataclass(frozen=True)
class Step:
    """What a step of all instances led to, each array (N, ...).

    Attributes:
        observation: after the step; of an episode that is done, its last one.
        reward: of the step.
        terminated: the episode ended by itself.
        truncated: the episode was cut off, by its time limit, the world or a fault of the engine.
        faults: the engines' failures in this step; observation and reward of these instances are
            those of the state that the engine returned to.
    """

    observation: npt.NDArray[Any]
    reward: Array
    terminated: Bools
    truncated: Bools
    faults: Sequence[Fault]


class Simulation:
    """A range of an experiment's instances.

    Whatever is random follows from the root seed, the instance's global id and the number of its
    episode, so it does not matter how instances are divided over simulations.

    Attributes:
        observation_spec: of one instance.
        action_spec: of one instance.
        episode: number of each instance's present episode, (N,).
        episode_step: steps of the present episodes, (N,).
        step_limit: after which the present episodes are truncated, (N,).
    """

    def __init__(
        self,
        experiment: Experiment,
        num_instances: int,
        *,
        seed: int = 0,
        first_instance: int = 0,
        num_threads: int = 0,
        slowdown: float = 1.0,
    ) -> None:
        """Build engines, loop and task; `reset` begins the first episodes.

        Args:
            experiment: with a task.
            num_instances: how many instances to step in lockstep.
            seed: the root seed.
            first_instance: global id of the first one.
            num_threads: native threads, 0 for one a core.
            slowdown: factor on the time that engines' steps are declared to take.
        """
        loop = build_loop(experiment, num_instances, num_threads, slowdown=slowdown)
        assert isinstance(loop, FixedStepLoop)  # an experiment with a task has no other
        self.loop = loop
        self.world = self.loop.world
        self.task = experiment.build_task(self.world)
        self.observation_spec: ArraySpec = self.task.observation_spec
        self.action_spec: ArraySpec = self.task.action_spec
        self.num_instances = num_instances
        self.first_instance = first_instance
        self.step_limit = np.full(num_instances, experiment.max_episode_steps, np.int64)
        self._max_steps = experiment.max_episode_steps
        self.episode = np.full(num_instances, -1, np.int64)
        self.episode_step = np.zeros(num_instances, np.int64)
        self._streams = [Streams(seed)] * num_instances
        self._names = list(range(first_instance, first_instance + num_instances))

    def reset(self, instances: Ids | None = None, seed: int | Sequence[int] | None = None) -> None:
        """Begin the next episode of instances, or with a new root seed the first one.

        Args:
            instances: ids within this simulation, None for all.
            seed: a new root seed for all of them, or one for each. In the second case each becomes
                instance 0 of its root seed, as if it were alone.
        """
        ids = np.arange(self.num_instances) if instances is None else instances
        if seed is not None:
            self._seed(ids, seed)
        self.episode[ids] += 1
        self.episode_step[ids] = 0
        self.step_limit[ids] = self._max_steps
        streams = [(self._streams[i], self._names[i], int(self.episode[i])) for i in ids]
        self.loop.reset([s.seed("engine", *name) for s, *name in streams], ids)
        self.task.reset(self.world, ids, [s.generator("task", *name) for s, *name in streams])
        self.loop.refresh(ids)

    def stagger(self) -> None:
        """Shorten the present episodes, so that instances reach their time limits one by one.

        Else all episodes would begin together, again and again, and what is sampled at a time
        would all be of the same phase. Group g of instances skips a share frac(g * 0.618...) of its
        limit: multiples of the golden ratio are spread evenly, however many there are.
        """
        groups = (self.first_instance + np.arange(self.num_instances)) // STAGGERED_TOGETHER
        share = groups * ((np.sqrt(5) - 1) / 2) % 1.0
        self.step_limit[:] = np.ceil((1.0 - share) * self._max_steps).astype(np.int64)

    def observe(self) -> npt.NDArray[Any]:
        """Return the present observations, (N, ...)."""
        return self.task.observe(self.world)

    def step(self, action: npt.NDArray[Any]) -> Step:
        """Act, advance and observe; instances that are done wait for `reset`."""
        self.task.act(self.world, action)
        self.loop.advance()
        self.episode_step += 1
        terminated = self.task.terminated(self.world)
        truncated = self.task.truncated(self.world) | (self.episode_step >= self.step_limit)
        faults = self.loop.faults()
        for fault in faults:
            terminated[fault.instance], truncated[fault.instance] = False, True
        return Step(
            observation=self.task.observe(self.world),
            reward=self.task.reward(self.world, action),
            terminated=terminated,
            truncated=truncated & ~terminated,
            faults=faults,
        )

    def metrics(self) -> dict[str, Array]:
        """Return the task's figures of the present state, each (N,)."""
        return self.task.metrics(self.world)

    @property
    def can_snapshot(self) -> bool:
        """Whether a snapshot is exact; else it only knows which episode came last."""
        return all(engine.spec.can_snapshot for engine in self.loop.engines.values())

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state of engines, task and episodes, or if that cannot be, of episodes."""
        own = {name: getattr(self, name).copy() for name in EPISODE_STATE}
        return {**self.loop.snapshot(), **own} if self.can_snapshot else own

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state, bit for bit, or if it is not exact, to new episodes."""
        for name in EPISODE_STATE:
            getattr(self, name)[...] = snapshot[name]
        if self.can_snapshot:
            self.loop.restore(snapshot)
        else:
            self.reset()
            self.stagger()

    def close(self) -> None:
        """Close the engines."""
        self.loop.close()

    def _seed(self, ids: Ids, seed: int | Sequence[int]) -> None:
        self.episode[ids] = -1
        if isinstance(seed, int):
            for i in ids:
                self._streams[i], self._names[i] = Streams(seed), int(i) + self.first_instance
            return
        for i, own in zip(ids, seed, strict=True):
            self._streams[i], self._names[i] = Streams(own), 0


def specs(experiment: Experiment) -> tuple[ArraySpec, ArraySpec, tuple[str, ...]]:
    """Return the specs of observations and actions, and the names of the metrics.

    Raises:
        UserError: if anything in the experiment's engines or task is wrong.
    """
    simulation = Simulation(experiment, 1, num_threads=1)
    found = simulation.observation_spec, simulation.action_spec, tuple(simulation.metrics())
    simulation.close()
    return found
