"""A fleet as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from troupe.core.errors import UserError
from troupe.fleet.serving.batch import Batch
from troupe.fleet.serving.fleet import Fleet

Info = dict[str, Any]


class FleetVectorEnv(VectorEnv[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]):
    """All instances of a fleet, stepped together.

    An episode that ends is followed by the next one in the same step: its last observation and
    metrics are in ``final_obs`` and ``final_info``. ``faults`` of the information lists instances
    that failed in the step, with the reasons.

    Attributes:
        fleet: whose instances they are.
    """

    metadata: dict[str, Any] = {
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, fleet: Fleet) -> None:
        """Take a fleet; nothing is reset yet."""
        self.fleet = fleet
        self.num_envs = fleet.num_instances
        self.single_observation_space = fleet.observation_space
        self.single_action_space = fleet.action_space
        self.observation_space = batch_space(fleet.observation_space, self.num_envs)
        self.action_space = batch_space(fleet.action_space, self.num_envs)
        self._ids = np.arange(self.num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[npt.NDArray[Any], Info]:
        """Begin the next episodes, or with a seed the first ones.

        Args:
            seed: a root seed, with which all is as in a `Simulation` of that seed; or a list of one
                for each instance, which is then alone with it.
            options: none are known.

        Raises:
            UserError: if the seed is not valid, or there are options.
        """
        if options:
            raise UserError(f"options: {options!r}; valid: none, since a fleet resets as a whole.")
        self.fleet.reset(_whole(seed))
        super().reset(seed=seed if isinstance(seed, int) else None)
        return self._receive().observation, {}

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Info]:
        """Act for one step of all instances.

        Raises:
            UserError: if an action is not of the space, or before the first reset.
        """
        self.fleet.send(actions, self._ids)
        batch = self._receive()
        info: Info = _final(batch) if len(batch.ended) else {}
        if batch.faults:
            info["faults"] = list(batch.faults)
        return batch.observation, batch.reward, batch.terminated, batch.truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Close the fleet."""
        self.fleet.close()

    def _receive(self) -> Batch:
        return self.fleet.recv(min_ready=self.num_envs).in_order()


def _whole(seed: int | Sequence[int | None] | None) -> int | list[int] | None:
    """Return a seed in which none is missing."""
    if seed is None or isinstance(seed, int | np.integer):
        return seed
    given = [own for own in seed if own is not None]
    if len(given) < len(seed):
        raise UserError(f"seed: {list(seed)}; valid: a seed for each instance, or one for all.")
    return given


def _final(batch: Batch) -> Info:
    """Return the last observations and metrics of episodes, masked as Gymnasium does."""
    mask = np.zeros(len(batch), np.bool_)
    mask[batch.ended] = True
    final_obs = np.full(len(batch), None, dtype=object)
    for row, observation in zip(batch.ended, batch.final_observation, strict=True):
        final_obs[row] = observation
    final_info: Info = {}
    for name, values in batch.metrics.items():
        final_info[name] = np.zeros(len(batch))
        final_info[name][batch.ended] = values
        final_info[f"_{name}"] = mask.copy()
    return {
        "final_obs": final_obs,
        "_final_obs": mask.copy(),
        "final_info": final_info,
        "_final_info": mask,
    }
