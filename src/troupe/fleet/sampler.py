"""An actor's own loop: steps instances with a policy and cuts what happens into fragments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.engines.base import Fault
from troupe.episodes import EpisodeTable, Fragment, no_episodes
from troupe.experiments.schema import PolicyUpdate
from troupe.experiments.simulation import NONE, Simulation, Step
from troupe.fleet.policy_feed import PolicyFeed
from troupe.policies.base import ActionNoise


@dataclass(frozen=True)
class FaultRecord:
    """An engine's failure in one instance, with all that is needed to reproduce it.

    Attributes:
        instance: global id.
        episode: number of the instance's episode, which names its streams of randomness.
        episode_step: step of the episode that failed.
        reason: what the simulator said.
        last_state: the instance's last valid state, by name.
    """

    instance: int
    episode: int
    episode_step: int
    reason: str
    last_state: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Sample:
    """What an actor pushes.

    Attributes:
        fragment: the steps.
        episodes: that ended in it.
        faults: the engines' failures in it, each of which cut an episode off.
    """

    fragment: Fragment
    episodes: EpisodeTable
    faults: list[FaultRecord]


class Sampler:
    """Samples fragments from a simulation, on and on through episodes.

    Attributes:
        simulation: whose instances are stepped.
        policies: what acts; offer it one before the first step.
    """

    def __init__(
        self,
        simulation: Simulation,
        seed: int,
        noise_size: int,
        update: PolicyUpdate = "fragment",
    ) -> None:
        """Begin the first episode of every instance, also where others came before."""
        self.simulation = simulation
        self.policies = PolicyFeed(simulation.num_instances, update)
        self._step_ns = simulation.loop.step_ns
        num_instances = simulation.num_instances
        self._noise = ActionNoise(seed, simulation.first_instance, num_instances, noise_size)
        self._return = np.zeros(num_instances)
        simulation.reset(seed=seed)
        simulation.stagger()
        self._observation = simulation.observe()

    def sample(self, num_steps: int, is_cut: Callable[[], bool] = lambda: False) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them.

        Args:
            num_steps: of each instance.
            is_cut: asked after each step; True ends the fragment there.
        """
        simulation = self.simulation
        shape = (num_steps, simulation.num_instances)
        observations = np.empty((num_steps + 1, *self._observation.shape), self._observation.dtype)
        observations[0] = self._observation
        actions: list[npt.NDArray[Any]] = []
        log_prob = np.empty(shape, np.float32)
        reward = np.empty(shape, np.float32)
        terminated = np.empty(shape, np.bool_)
        truncated = np.empty(shape, np.bool_)
        version = np.empty(shape, np.int64)
        time_ns = np.empty(shape, np.int64)
        episode = np.empty(shape, np.int64)
        ended: list[EpisodeTable] = []
        finals: list[npt.NDArray[Any]] = []
        faults: list[FaultRecord] = []
        self.policies.begin_fragment()
        for t in range(num_steps):
            # act
            acted, version[t] = self.policies.act(
                observations[t], self._noise.draw(), simulation.first_instance
            )
            time_ns[t] = simulation.episode_step * self._step_ns
            episode[t] = simulation.episode
            step = simulation.step(acted.action)
            # keep what happened
            actions.append(acted.action)
            log_prob[t] = acted.log_prob
            reward[t], terminated[t], truncated[t] = step.reward, step.terminated, step.truncated
            self._return += step.reward
            faults += [self._described(fault) for fault in step.faults]
            # begin the next episode where one ended
            done = np.flatnonzero(step.terminated | step.truncated)
            observations[t + 1] = step.observation
            if len(done):
                ended.append(self._episodes(t, done, step))
                finals.append(step.observation[done])
                self._return[done] = 0.0
                simulation.reset(done)
                self.policies.begin_episodes(done)
                observations[t + 1] = simulation.observe()
            if is_cut():
                break
        num_taken = len(actions)
        self._observation = observations[num_taken].copy()
        episodes = _join(ended, simulation)
        instances = np.arange(simulation.num_instances) + simulation.first_instance
        fragment = Fragment(
            observation=observations[: num_taken + 1],
            action=np.stack(actions),
            log_prob=log_prob[:num_taken],
            reward=reward[:num_taken],
            terminated=terminated[:num_taken],
            truncated=truncated[:num_taken],
            final_step=np.stack(
                [episodes["step"], episodes["instance"] - simulation.first_instance], axis=1
            ),
            final_observation=np.concatenate([observations[:0, 0], *finals]),
            version=version[:num_taken],
            time_ns=time_ns[:num_taken],
            instance=np.tile(instances, (num_taken, 1)),
            episode=episode[:num_taken],
        )
        return Sample(fragment, episodes, faults)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that the next fragment depends on, as arrays that lead with the instances."""
        steps = np.full(self.simulation.num_instances, self._noise.step, np.int64)
        own = {"return": self._return.copy(), "noise_step": steps, "observation": self._observation}
        return {**self.simulation.snapshot(), **own}

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, bit for bit, or with new episodes if engines cannot snapshot."""
        self.simulation.restore(snapshot)
        self._noise.step = int(snapshot["noise_step"].max())
        if self.simulation.can_snapshot:
            self._return[...] = snapshot["return"]
            self._observation = snapshot["observation"].copy()
        else:
            self._return[...] = 0.0
            self._observation = self.simulation.observe()

    def _described(self, fault: Fault) -> FaultRecord:
        i = fault.instance
        return FaultRecord(
            instance=i + self.simulation.first_instance,
            episode=int(self.simulation.episode[i]),
            episode_step=int(self.simulation.episode_step[i]),
            reason=fault.reason,
            last_state=fault.last_state,
        )

    def _episodes(self, t: int, done: npt.NDArray[Any], step: Step) -> EpisodeTable:
        simulation = self.simulation
        return {
            "step": np.full(len(done), t),
            "instance": done + simulation.first_instance,
            "episode": simulation.episode[done].copy(),
            "return": self._return[done].copy(),
            "length": simulation.episode_step[done].copy(),
            "truncated": step.truncated[done],
            **simulation.figures(done),
        }


def _join(tables: list[EpisodeTable], simulation: Simulation) -> EpisodeTable:
    empty = no_episodes(simulation.figures(NONE))
    return {name: np.concatenate([empty[name], *(t[name] for t in tables)]) for name in empty}
