"""The fixed-step loop: every engine advances by the same step, then all packs are current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.settings import Duration, Settings, nanoseconds
from troupe.engines.base import Engine, Fault

Snapshot = dict[str, npt.NDArray[Any]]


class FixedStepSettings(Settings):
    """What a user writes about the loop.

    Attributes:
        step: of simulated time between two looks at the world.
    """

    type: Literal["fixed-step"] = "fixed-step"
    step: Duration = nanoseconds(20_000_000)


class FixedStepLoop:
    """Steps engines together.

    Attributes:
        world: the datapacks of all engines.
        step_ns: simulated time of a step.
    """

    def __init__(self, engines: Mapping[str, Engine], step_ns: int) -> None:
        """Join engines that have the same number of instances."""
        self.engines = dict(engines)
        self.step_ns = step_ns
        inputs: dict[str, ArraySpec] = {}
        outputs: dict[str, ArraySpec] = {}
        for name, engine in engines.items():
            inputs |= {f"{name}.{pack}": spec for pack, spec in engine.spec.inputs.items()}
            outputs |= {f"{name}.{pack}": spec for pack, spec in engine.spec.outputs.items()}
        num_instances = next(iter(engines.values())).spec.num_instances
        self.world = World(engines, outputs, inputs, num_instances)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to the engines' initial states; `refresh` makes packs current."""
        for engine in self.engines.values():
            engine.reset(seeds, instances)

    def refresh(self, instances: Ids | None = None) -> None:
        """Bring the packs of instances up to date with what was written, at the same time."""
        for engine in self.engines.values():
            engine.advance(0, instances)

    def advance(self) -> None:
        """Advance all engines by one step."""
        for engine in self.engines.values():
            engine.advance(self.step_ns)

    def faults(self) -> list[Fault]:
        """Return the instances that failed in the last advance."""
        return [fault for engine in self.engines.values() for fault in engine.faults()]

    def snapshot(self) -> Snapshot:
        """Return the exact state of all engines and of the task's arrays."""
        arrays = {f"world/{name}": values.copy() for name, values in self.world.arrays.items()}
        for name, engine in self.engines.items():
            arrays |= {f"{name}/{key}": values for key, values in engine.snapshot().items()}
        return arrays

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state, bit for bit."""
        for name, values in self.world.arrays.items():
            values[...] = snapshot[f"world/{name}"]
        for name, engine in self.engines.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in snapshot.items() if k.startswith(prefix)}
            engine.restore(own)

    def close(self) -> None:
        """Close all engines."""
        for engine in self.engines.values():
            engine.close()
