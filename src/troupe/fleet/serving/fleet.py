"""A fleet of instances, as a model sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import gymnasium
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import TroupeError, UserError
from troupe.experiments.environments import MAX_SEED, space_of
from troupe.fleet.serving.batch import Batch, first_batch, join_batches
from troupe.fleet.serving.group import Seed
from troupe.fleet.serving.ledger import Ledger
from troupe.fleet.serving.local import Link
from troupe.fleet.serving.spec import observation_space

if TYPE_CHECKING:
    from troupe.fleet.serving.vector_env import FleetVectorEnv


class Fleet:
    """Instances of an experiment, here or elsewhere; `troupe.connect` gives one.

    Together they step as a `vector_env`. At their own pace they step with `recv`, which gives the
    instances that wait for an action, and `send`, which gives them actions::

        batch = fleet.recv()
        while ...:
            fleet.send(model(batch.observation), batch.ids)
            batch = fleet.recv()

    A fleet is of one thread.

    Attributes:
        spec: what the instances observe, which actions they take, and which of them step together.
        num_instances: how many there are; their ids count from 0.
        observation_space: of one instance.
        action_space: of one instance.
        num_faults: failures of simulators and processes so far; each is told by its batch, too.
    """

    def __init__(self, link: Link) -> None:
        """Take the way to the instances."""
        self._link = link
        self.spec = link.spec
        self.num_instances = self.spec.num_instances
        self.observation_space: gymnasium.Space[Any] = observation_space(self.spec.observation)
        self.action_space: gymnasium.Space[Any] = space_of(self.spec.action)
        self.num_faults = 0
        self._ledger = Ledger(self.spec)
        self._ready: list[Batch] = []
        self._num_ready = 0
        self._generation = 0
        self._is_open = True

    @property
    def waiting(self) -> Ids:
        """The instances that wait for an action."""
        return self._ledger.waiting

    def reset(self, seed: int | Sequence[int] | None = None) -> None:
        """Begin the next episodes of all instances, after the steps that they do.

        Their first observations come with `recv`. The first `recv` does this, too.

        Args:
            seed: a new root seed, with which the first episodes begin, or one for each instance.
                In the second case each becomes instance 0 of its root seed, as if it were alone.

        Raises:
            UserError: if the seed is not valid.
        """
        self._check_open()
        checked = _checked_seed(seed, self.num_instances)
        self._generation += 1
        self._ready, self._num_ready = [], 0
        self._ledger.begin()
        self._link.reset(checked, self._generation)
        # so that a fleet is never reset again before it has begun
        while self._num_ready < self.num_instances:
            self._take(None)

    def recv(self, min_ready: int = 1, timeout_s: float | None = None) -> Batch:
        """Return the instances that wait for an action and were not returned yet.

        Args:
            min_ready: how many to wait for, at least.
            timeout_s: after which to return those that there are, maybe none; None for ever.

        Raises:
            UserError: if so many cannot become ready without further actions.
            TroupeError: if the instances cannot go on, or the connection is lost.
        """
        self._check_open()
        if not 0 <= min_ready <= self.num_instances:
            raise UserError(f"min_ready: {min_ready}; valid: 0 to {self.num_instances}.")
        if self._generation == 0:
            self.reset()
        if self._num_ready < min_ready:
            self._ledger.check_reachable(min_ready)
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self._num_ready < min_ready:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not self._take(left_s) and left_s == 0.0:
                break
        while self._num_ready < self.num_instances and self._take(0.0):
            pass
        return self._deliver()

    def send(self, actions: npt.ArrayLike, ids: npt.ArrayLike) -> None:
        """Give instances actions; those of a group step when all of them have one.

        Args:
            actions: (n, ...), of the action space.
            ids: of instances that wait for one, (n,), e.g. a batch's.

        Raises:
            UserError: if an id is unknown or does not wait, or an action is not of the space.
            TroupeError: if the connection is lost.
        """
        self._check_open()
        checked, checked_ids = self._ledger.give(actions, ids)
        if len(checked_ids):
            self._link.send(checked, checked_ids)

    def evaluate(
        self, act: Callable[[Batch], npt.ArrayLike], episodes: int
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Return how the next episodes of every instance go, the same number of each.

        Whoever ends soon does not count more often than others: of an instance that is ahead,
        further episodes are left out.

        Args:
            act: gives the actions of all instances, in the order of their ids.
            episodes: of each instance.

        Returns:
            the task's figures by name, (num_instances, episodes); NaN where a process was lost.

        Raises:
            UserError: if the number is not positive, or an action is not of the space.
            TroupeError: if the instances cannot go on, or the connection is lost.
        """
        if episodes < 1:
            raise UserError(f"episodes: at least 1, not {episodes}.")
        self.reset()
        done = np.zeros(self.num_instances, np.int64)
        found = {
            name: np.full((self.num_instances, episodes), np.nan) for name in self.spec.metric_names
        }
        while True:
            batch = self.recv(min_ready=self.num_instances).in_order()
            ended = batch.ids[batch.ended]
            counts = done[ended] < episodes
            for name, values in batch.metrics.items():
                found[name][ended[counts], done[ended[counts]]] = values[counts]
            done[ended] += 1
            if done.min() >= episodes:
                return found
            self.send(act(batch), batch.ids)

    def vector_env(self) -> FleetVectorEnv:
        """Return the fleet as a Gymnasium vector environment, which closes it when closed."""
        from troupe.fleet.serving.vector_env import FleetVectorEnv

        return FleetVectorEnv(self)

    def close(self) -> None:
        """End the instances; may be called again."""
        self._is_open = False
        self._link.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _take(self, timeout_s: float | None) -> bool:
        """Take what has arrived, and return whether anything has."""
        arrivals = self._link.receive(timeout_s)
        for generation, batch in arrivals:
            if generation != self._generation:  # stepped before the reset
                continue
            self.num_faults += len(batch.faults)
            self._ledger.arrive(batch.ids)
            self._ready.append(batch)
            self._num_ready += len(batch)
        return bool(arrivals)

    def _deliver(self) -> Batch:
        if not self._ready:
            spec = self.spec.observation
            none = np.zeros(0, np.int64)
            observation = np.zeros((0, *spec.shape), spec.dtype)
            return first_batch(none, observation, none, self.spec.metric_names)
        batch = join_batches(self._ready)
        self._ready, self._num_ready = [], 0
        self._ledger.deliver(batch.ids)
        return batch

    def _check_open(self) -> None:
        if not self._is_open:
            raise TroupeError(f"the fleet of '{self.spec.experiment}' is closed.")


def _checked_seed(seed: int | Sequence[int] | None, num_instances: int) -> Seed:
    if seed is None:
        return None
    if isinstance(seed, int | np.integer):
        return _in_range(int(seed))
    if len(seed) != num_instances:
        raise UserError(f"seed: {len(seed)} of them; valid: one, or {num_instances}.")
    return [_in_range(int(own)) for own in seed]


def _in_range(seed: int) -> int:
    if not 0 <= seed < MAX_SEED:
        raise UserError(f"seed: {seed}; valid: 0 to {MAX_SEED - 1}.")
    return seed
