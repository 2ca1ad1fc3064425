"""What a fleet offers, and its message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.engines.base import EngineSpec
from troupe.engines.host.messages import Message
from troupe.engines.host.specs import decode_spec, encode_spec
from troupe.experiments.environments import space_of


@dataclass(frozen=True)
class FleetSpec:
    """What a fleet offers.

    Attributes:
        experiment: its name.
        observation: of one instance.
        action: of one instance.
        metric_names: the figures of an episode that ended.
        bounds: of the groups of instances that step together: the first id of each, and the number
            of all instances.
        num_workers: processes that step them, 0 for that of the fleet itself.
        step_ns: simulated time of a step.
    """

    experiment: str
    observation: ArraySpec
    action: ArraySpec
    metric_names: Sequence[str]
    bounds: Sequence[int]
    num_workers: int
    step_ns: int

    @property
    def num_instances(self) -> int:
        """How many instances there are; their ids count from 0."""
        return self.bounds[-1]

    @property
    def group_of(self) -> Ids:
        """The group of each instance, (N,)."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def action_array(self, actions: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return actions in the type in which they are exchanged."""
        return np.asarray(actions, np.int64 if self.action.categories else np.float32)


def observation_space(spec: ArraySpec) -> gymnasium.Space[Any]:
    """Return the Gymnasium space of an instance's observation; images keep their whole numbers."""
    if spec.categories or spec.dtype.kind not in "iu":
        return space_of(spec)
    limits = np.iinfo(spec.dtype)  # type: ignore[type-var]
    low, high = (np.clip(bound, limits.min, limits.max) for bound in (spec.low, spec.high))
    dtype: Any = spec.dtype.type
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), spec.shape, dtype)


def encode_fleet_spec(spec: FleetSpec) -> Message:
    """Return a fleet's spec as a message: to others it is an engine of actions and observations."""
    engine = EngineSpec(
        name=spec.experiment,
        timestep_ns=Fraction(spec.step_ns),
        num_instances=spec.num_instances,
        inputs={"action": spec.action},
        outputs={"observation": spec.observation},
    )
    message = encode_spec(engine)
    own = {
        "metrics": list(spec.metric_names),
        "bounds": list(spec.bounds),
        "workers": spec.num_workers,
    }
    return Message({**message.header, **own}, message.arrays)


def decode_fleet_spec(message: Message) -> FleetSpec:
    """Return the spec of a message."""
    engine = decode_spec(message)
    return FleetSpec(
        experiment=engine.name,
        observation=engine.outputs["observation"],
        action=engine.inputs["action"],
        metric_names=message.header["metrics"],
        bounds=message.header["bounds"],
        num_workers=message.header["workers"],
        step_ns=int(engine.timestep_ns),
    )
