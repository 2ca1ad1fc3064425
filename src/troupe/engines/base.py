"""The contract of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import unknown
from troupe.core.settings import Settings


@dataclass(frozen=True)
class EngineSpec:
    """What an engine offers.

    Attributes:
        name: the engine's name in its loop.
        timestep_ns: of one inner step, exact.
        num_instances: how many worlds it steps in lockstep.
        inputs: packs that can be written.
        outputs: packs that can be read.
        can_snapshot: whether `snapshot` and `restore` are exact.
        can_reset_some: whether some instances can be reset alone.
    """

    name: str
    timestep_ns: Fraction
    num_instances: int
    inputs: Mapping[str, ArraySpec]
    outputs: Mapping[str, ArraySpec]
    can_snapshot: bool = True
    can_reset_some: bool = True


@dataclass(frozen=True)
class Fault:
    """One instance failed in the last advance; the engine has reset it and goes on.

    Attributes:
        instance: its index in the engine.
        reason: what the simulator said.
        last_state: named arrays of its last valid state, to reproduce the failure.
    """

    instance: int
    reason: str
    last_state: Mapping[str, npt.NDArray[Any]]


class Engine(Protocol):
    """A simulator, brain, controller or robot; all arrays lead with its instances."""

    spec: EngineSpec

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Put instances (None: all) into their initial state, one seed each."""

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a state, command or model parameter; it takes effect at the next advance."""

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance simulated time; 0 brings the outputs up to date with what was written."""

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...): a view, valid until the next advance."""

    def faults(self) -> Sequence[Fault]:
        """Return the instances that failed in the last advance."""

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances, as arrays that lead with the instances."""

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances to a snapshot's state, bit for bit."""

    def close(self) -> None:
        """Release what the engine holds; may be called again."""


class EngineSettings(Settings):
    """What a user writes about one engine; subclasses add their own keys."""

    type: str

    def build(self, name: str, num_instances: int, num_threads: int) -> Engine:
        """Return a new engine of these settings.

        Args:
            name: of the engine in its loop.
            num_instances: worlds to step in lockstep.
            num_threads: native threads to step them on; 0 for one a core.

        Raises:
            UserError: if the settings name something that does not exist or does not compile.
        """
        raise NotImplementedError


class StepCounter:
    """Counts an engine's inner steps exactly, from durations in whole nanoseconds.

    With steps of 1/240 s, advances of 10 ms take 2, 2, 3, ... steps, never a rounded number
    that drifts.
    """

    def __init__(self, timestep_ns: Fraction) -> None:
        """Start at time 0."""
        self.timestep_ns = timestep_ns
        self.time_ns = 0

    def advance(self, duration_ns: int) -> int:
        """Advance time and return how many inner steps that takes."""
        before = self.time_ns // self.timestep_ns
        self.time_ns += duration_ns
        return int(self.time_ns // self.timestep_ns - before)


def check_pack(packs: Mapping[str, ArraySpec], pack: str, engine: str) -> ArraySpec:
    """Return a pack's spec.

    Raises:
        UserError: if the engine has no such pack.
    """
    if pack not in packs:
        raise unknown("datapack", pack, packs, where=engine)
    return packs[pack]


def as_indices(instances: Ids | None, num_instances: int) -> Ids:
    """Return the ids of instances, all for None."""
    return np.arange(num_instances) if instances is None else instances
