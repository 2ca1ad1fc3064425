"""What an actor acts with, as newer policies reach it while it samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.experiments.schema import PolicyUpdate
from troupe.policies import MlpPolicy
from troupe.policies.base import FloatRows, PolicyStep


class PolicyFeed:
    """Holds the newest policy for the instances of an actor, and the ones that still act.

    Attributes:
        newest: that was offered; set from any thread.
    """

    def __init__(self, num_instances: int, update: PolicyUpdate = "fragment") -> None:
        """Begin without any policy.

        Args:
            num_instances: that act.
            update: when an instance takes up a newer policy: ``immediate``, at its next step;
                ``fragment``, at the begin of the next fragment; ``episode``, at the begin of its
                next episode.
        """
        self.newest: MlpPolicy | None = None
        self._update = update
        self._num_instances = num_instances
        self._acting: dict[int, MlpPolicy] = {}
        self._version = np.full(num_instances, -1, np.int64)

    def begin_fragment(self) -> None:
        """Take up the newest policy where that is due; instances without any always do."""
        due = self._version < 0 if self._update == "episode" else self._version >= -1
        self._take_up(np.flatnonzero(due))

    def begin_episodes(self, instances: Ids) -> None:
        """Note that instances begin new episodes."""
        if self._update == "episode":
            self._take_up(instances)

    def act(
        self, observation: npt.NDArray[Any], noise: FloatRows, first_instance: int
    ) -> tuple[PolicyStep, npt.NDArray[np.int64]]:
        """Act for all instances; return the actions and the version that each follows, (N,).

        Args:
            observation: (N, ...).
            noise: standard normal numbers to explore with, (N, noise_size).
            first_instance: global id of the first row.
        """
        if self._update == "immediate":
            self._take_up(np.arange(self._num_instances))
        steps = {v: p.act(observation, noise, first_instance) for v, p in self._acting.items()}
        if len(steps) == 1:
            return next(iter(steps.values())), self._version
        first = next(iter(steps.values()))
        action, log_prob = np.empty_like(first.action), np.empty_like(first.log_prob)
        for version, step in steps.items():
            rows = self._version == version
            action[rows], log_prob[rows] = step.action[rows], step.log_prob[rows]
        return PolicyStep(action, log_prob), self._version

    def _take_up(self, instances: Ids) -> None:
        newest = self.newest
        assert newest is not None, "a policy is offered before the first step"
        if len(self._acting) == 1 and self._acting.get(newest.version) is newest:
            return
        self._version = self._version.copy()  # fragments hold the old one
        self._version[instances] = newest.version
        self._acting[newest.version] = newest
        in_use = set(self._version.tolist())
        self._acting = {v: policy for v, policy in self._acting.items() if v in in_use}
