"""Instances of an experiment: engines, loop and task, stepped together, episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.seeding import InstanceStreams
from troupe.engines.base import Fault
from troupe.engines.mujoco_camera_settings import CameraEngine
from troupe.experiments.build import build_loop
from troupe.experiments.schema import Experiment
from troupe.loop import FixedStepLoop
from troupe.tasks.base import Bools
from troupe.tasks.randomisation import Randomiser

STAGGERED_TOGETHER = 8
"""Instances whose episodes begin together: several resets at once cost little more than one."""

NONE = np.zeros(0, np.int64)

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
        randomiser: between the task and the world.
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
        self._streams = InstanceStreams(seed, first_instance, num_instances)
        self.episode, self.episode_step = self._streams.episode, self._streams.step
        self.randomiser = Randomiser(
            experiment.randomise, self.world, self.task, self._streams, loop.step_ns
        )

    def reset(self, instances: Ids | None = None, seed: int | Sequence[int] | None = None) -> None:
        """Begin the next episode of instances, or with a new root seed the first one.

        Args:
            instances: ids within this simulation, None for all.
            seed: a new root seed for all of them, or one for each. In the second case each becomes
                instance 0 of its root seed, as if it were alone.
        """
        ids = np.arange(self.num_instances) if instances is None else instances
        if seed is not None:
            self._streams.reseed(ids, seed)
        self._streams.begin(ids)
        self.step_limit[ids] = self._max_steps
        self.loop.reset(self._streams.seeds("engine", ids), ids)
        self.task.reset(self.world, ids, self._streams.generators("task", ids))
        self.loop.refresh(ids)
        if not self.randomiser.is_empty:
            self.randomiser.begin(ids)
            self.loop.refresh(ids)
            self.randomiser.begun(ids)

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
        return self.randomiser.observe()

    def sensed(self, pack: str) -> npt.NDArray[Any]:
        """Return a datapack as sensors tell it, with their noise and delays, (N, ...)."""
        return self.randomiser.sensed.read(pack)

    def render(
        self, engine: str, camera: str, modalities: Sequence[str], instances: Ids
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, with the experiment's noise: (n, height, width, ...)."""
        rendering = self.loop.engines[engine]
        assert isinstance(rendering, CameraEngine)
        images = rendering.render(camera, modalities, instances)
        seen = self.randomiser.seen
        return {m: seen(f"{engine}.{camera}.{m}", v, instances) for m, v in images.items()}

    def step(self, action: npt.NDArray[Any]) -> Step:
        """Act, advance and observe; instances that are done wait for `reset`."""
        action = self.randomiser.act(action)
        self.loop.advance()
        self.episode_step += 1
        self.randomiser.follow()
        terminated = self.task.terminated(self.world)
        truncated = self.task.truncated(self.world) | (self.episode_step >= self.step_limit)
        faults = self.loop.faults()
        for fault in faults:
            terminated[fault.instance], truncated[fault.instance] = False, True
        return Step(
            observation=self.randomiser.observe(),
            reward=self.task.reward(self.world, action),
            terminated=terminated,
            truncated=truncated & ~terminated,
            faults=faults,
        )

    def metrics(self) -> dict[str, Array]:
        """Return the task's figures of the present state, each (N,)."""
        return self.task.metrics(self.world)

    def figures(self, instances: Ids) -> dict[str, Array]:
        """Return the task's figures of instances and those of their episodes' draws, each (n,)."""
        metrics = {name: values[instances] for name, values in self.metrics().items()}
        return {**metrics, **self.randomiser.figures(instances)}

    def draws(self, instance: int) -> dict[str, Any]:
        """Return what was drawn for an instance's present episode: numbers, texts or lists."""
        return {**self.task.draws(self.world, instance), **self.randomiser.draws(instance)}

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
            self.randomiser.restored()
        else:
            self.reset()
            self.stagger()

    def close(self) -> None:
        """Close the engines."""
        self.loop.close()


def specs(experiment: Experiment) -> tuple[ArraySpec, ArraySpec, tuple[str, ...]]:
    """Return the specs of observations and actions, and the names of an episode's figures.

    Raises:
        UserError: if anything in the experiment's engines or task is wrong.
    """
    simulation = Simulation(experiment, 1, num_threads=1)
    found = simulation.observation_spec, simulation.action_spec, tuple(simulation.figures(NONE))
    simulation.close()
    return found
