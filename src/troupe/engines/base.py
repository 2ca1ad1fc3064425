"""The contract of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from troupe.core.arrays import ArraySpec, Ids, as_indices
from troupe.core.errors import unknown
from troupe.core.settings import Duration, DurationOrNone, Settings
from troupe.engines.step_times import StepTime


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
        releases_gil: whether `advance` leaves Python to other threads most of the time, so that a
            thread of its own pays.
    """

    name: str
    timestep_ns: Fraction
    num_instances: int
    inputs: Mapping[str, ArraySpec]
    outputs: Mapping[str, ArraySpec]
    can_snapshot: bool = True
    can_reset_some: bool = True
    releases_gil: bool = False


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
        """Put instances (None: all) into their initial state, one seed each.

        Model parameters return to their initial values too. Packs show the new state after the
        next advance, which may be one by 0.
        """

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a state, command or model parameter; it takes effect at the next advance.

        Raises:
            UserError: if the engine has no such pack to write.
        """

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance simulated time; 0 brings the outputs up to date with what was written."""

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...): a view, valid until the next advance.

        Raises:
            UserError: if the engine has no such pack to read.
        """

    def faults(self) -> Sequence[Fault]:
        """Return the instances that failed in the last advance; the others are untouched."""

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances, as arrays that lead with the instances."""

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances to a snapshot's state, bit for bit."""

    def close(self) -> None:
        """Release what the engine holds; may be called again."""


Host = Annotated[str, Field(pattern=r"^(here|process|grpcs?://[^/]+:[0-9]+)$")]
"""Where an engine runs: ``here``, ``process``, or ``grpc://host:port``, with TLS ``grpcs``."""


@runtime_checkable
class ConcurrentEngine(Engine, Protocol):
    """An engine that advances elsewhere, while this process does something else.

    Packs that are read between `begin` and `finish` are those from before `begin`.
    """

    def begin(self, duration_ns: int) -> None:
        """Start to advance all instances, with what was written so far."""

    def finish(self) -> None:
        """Wait for the advance that was begun.

        Raises:
            EngineError: if the engine crashed, hangs for longer than its timeout, or raised.
        """


class EngineSettings(Settings):
    """What a user writes about one engine; subclasses add their own keys.

    Attributes:
        sync: simulated time between two exchanges of packs with the loop; default: the loop's
            step.
        phase: simulated time of the first exchange after the one at the start.
        timeout: real time that an advance may take in another process; default: for ever.
        host: where the engine runs: ``here`` in this process, ``process`` in one of its own, or
            on another machine, ``grpc://host:port`` (``grpcs`` with TLS).
        step_time: real time that an instance's step takes, one instance after the other, to stand
            for a slow simulator: a duration, or a distribution to draw it from. Results do not
            depend on it. Default: as fast as it goes.
    """

    type: str
    sync: Duration | None = None
    phase: DurationOrNone = None
    timeout: Duration | None = None
    host: Host = "here"
    step_time: StepTime | None = None

    def as_measured(self) -> Self:
        """Return the settings under which policies are evaluated, without declared slowness."""
        return self.model_copy(update={"step_time": None})

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
    """Counts each instance's inner steps exactly, from durations in whole nanoseconds.

    With steps of 1/240 s, advances of 10 ms take 2, 2, 3, ... steps since the instance's reset,
    never a rounded number that drifts.

    Attributes:
        remainder: time of each instance since its last inner step, in units of 1/denominator of
            the time step's fraction, (N,).
    """

    def __init__(self, timestep_ns: Fraction, num_instances: int) -> None:
        """Start all instances at time 0."""
        self._timestep_ns = timestep_ns
        self._whole_steps: dict[int, int] = {}
        self.remainder = np.zeros(num_instances, np.int64)

    def reset(self, instances: Ids | None = None) -> None:
        """Start instances, None for all, at time 0."""
        self.remainder[_rows(instances)] = 0

    def advance(self, duration_ns: int, instances: Ids | None = None) -> list[Steps]:
        """Advance time and return which instances take how many inner steps for that."""
        if duration_ns in self._whole_steps:
            return [Steps(self._whole_steps[duration_ns], instances)]
        steps = duration_ns / self._timestep_ns
        if steps.denominator == 1:
            self._whole_steps[duration_ns] = int(steps)
            return [Steps(int(steps), instances)]
        rows = _rows(instances)
        ids = as_indices(instances, len(self.remainder))
        time = self.remainder[rows] + duration_ns * self._timestep_ns.denominator
        num_steps, self.remainder[rows] = np.divmod(time, self._timestep_ns.numerator)
        return [Steps(int(n), ids[num_steps == n]) for n in np.unique(num_steps)]


@dataclass(frozen=True)
class Steps:
    """Instances that take the same number of inner steps.

    Attributes:
        count: of the steps.
        instances: ids, None for all.
    """

    count: int
    instances: Ids | None


def check_pack(packs: Mapping[str, ArraySpec], pack: str, engine: str) -> ArraySpec:
    """Return a pack's spec.

    Raises:
        UserError: if the engine has no such pack.
    """
    if pack not in packs:
        raise unknown("datapack", pack, packs, where=engine)
    return packs[pack]


def _rows(instances: Ids | None) -> Any:
    return slice(None) if instances is None else instances
