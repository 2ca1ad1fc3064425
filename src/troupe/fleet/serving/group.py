"""A group of instances that step together, and what it is told to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from troupe.engines.host.messages import Message
from troupe.experiments.simulation import Simulation
from troupe.fleet.serving.batch import Batch, first_batch

Seed = int | Sequence[int] | None


@dataclass(frozen=True)
class Command:
    """What a group is to do.

    Attributes:
        call: begin the next episodes, or act.
        group: its number.
        generation: number of the reset of the whole fleet that this follows.
        seed: of a reset: a new root seed, or one for each of the group's instances.
        action: of a step, of all instances of the group.
    """

    call: Literal["reset", "step"]
    group: int
    generation: int
    seed: Seed = None
    action: npt.NDArray[Any] | None = None

    def encode(self) -> Message:
        """Return the message of the command."""
        header = {
            "call": self.call,
            "group": self.group,
            "generation": self.generation,
            "seed": self.seed,
        }
        return Message(header, {} if self.action is None else {"action": self.action})

    @classmethod
    def decode(cls, message: Message) -> Command:
        """Return the command of a message."""
        return cls(**message.header, action=message.arrays.get("action"))


@dataclass(frozen=True)
class Answer:
    """What a group's command led to.

    Attributes:
        group: its number.
        generation: of the command.
        batch: of all instances of the group.
    """

    group: int
    generation: int
    batch: Batch


class Group:
    """Instances of one simulation, whose episodes follow each other without a pause."""

    def __init__(self, simulation: Simulation, step_ns: int) -> None:
        """Take a simulation, which may have been reset.

        Args:
            simulation: of the group's instances.
            step_ns: simulated time of a step.
        """
        self.simulation = simulation
        first, num_instances = simulation.first_instance, simulation.num_instances
        self._ids = np.arange(first, first + num_instances)
        self._step_ns = step_ns
        self._metric_names = tuple(simulation.metrics())

    def do(self, command: Command) -> Answer:
        """Do what a command says."""
        if command.call == "reset":
            batch = self._reset(command.seed)
        else:
            assert command.action is not None
            batch = self._step(command.action)
        return Answer(command.group, command.generation, batch)

    def _reset(self, seed: Seed) -> Batch:
        simulation = self.simulation
        simulation.reset(seed=seed)
        observation, episode = simulation.observe(), simulation.episode.copy()
        return first_batch(self._ids, observation, episode, self._metric_names)

    def _step(self, action: npt.NDArray[Any]) -> Batch:
        simulation = self.simulation
        step = simulation.step(action)
        ended = np.flatnonzero(step.terminated | step.truncated)
        observation, final = step.observation, step.observation[ended]
        metrics = {name: np.zeros(0) for name in self._metric_names}
        if len(ended):
            metrics = {name: values[ended] for name, values in simulation.metrics().items()}
            simulation.reset(ended)
            observation = simulation.observe()
        return Batch(
            ids=self._ids,
            observation=observation,
            reward=np.asarray(step.reward, np.float64),
            terminated=step.terminated,
            truncated=step.truncated,
            episode=simulation.episode.copy(),
            time_ns=simulation.episode_step * self._step_ns,
            ended=ended,
            final_observation=final,
            metrics=metrics,
            faults=[(int(self._ids[fault.instance]), fault.reason) for fault in step.faults],
        )
