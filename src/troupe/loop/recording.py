"""What a run keeps of its datapacks, sampled at each synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec
from troupe.core.errors import unknown
from troupe.engines.base import Engine
from troupe.loop.settings import RecordSettings
from troupe.loop.wiring import Wiring

Read = Callable[[], npt.NDArray[Any] | None]


class Sink(Protocol):
    """Where samples go."""

    def add(self, pack: str, time_ns: int, value: npt.NDArray[Any]) -> None:
        """Keep a pack's value at a time; the array is the sink's own."""


class RecordedLoop(Protocol):
    """What a recording needs of a loop.

    Attributes:
        engines: by name.
        world: the datapacks of all engines.
        wiring: functions between the engines.
    """

    engines: dict[str, Engine]
    world: World
    wiring: Wiring


class Recorder:
    """Samples the chosen packs whenever their engine synchronises, and hands them to a sink.

    Attributes:
        packs: specs by name, of those that are recorded.
    """

    def __init__(self, loop: RecordedLoop, settings: RecordSettings, sink: Sink) -> None:
        """Choose packs of a loop.

        Raises:
            UserError: if a chosen pack does not exist.
        """
        self.packs = chosen_packs(loop, settings.packs)
        self._every_ns = settings.every or 1  # a moment once, at its end too
        self._sink = sink
        self._due_ns: dict[str, int] = {}
        self._reads = {
            engine: [(p, self._reader(loop, p)) for p in self.packs if p.split(".", 1)[0] == engine]
            for engine in loop.engines
        }

    def synchronised(self, now_ns: int, engines: Sequence[str]) -> None:
        """Sample the packs of the engines that are due."""
        for engine in engines:
            if not self._is_due(engine, now_ns):
                continue
            for pack, read in self._reads[engine]:
                value = read()
                if value is not None:
                    self._sink.add(pack, now_ns, value.copy())

    def _is_due(self, engine: str, now_ns: int) -> bool:
        if now_ns < self._due_ns.get(engine, 0):
            return False
        self._due_ns[engine] = now_ns + self._every_ns
        return True

    @staticmethod
    def _reader(loop: RecordedLoop, pack: str) -> Read:
        if pack in loop.world.outputs:
            read, name = loop.world.reader(pack)
            return lambda: read(name)
        return lambda: loop.wiring.latest(pack)


def chosen_packs(loop: RecordedLoop, patterns: Sequence[str]) -> dict[str, ArraySpec]:
    """Return the specs of the packs that patterns name, in the loop's order.

    Args:
        loop: with its engines and functions.
        patterns: names, "engine.*", or "*" for all that can be read and all that functions write.

    Raises:
        UserError: if a pattern names no pack.
    """
    world = loop.world
    written = loop.wiring.written
    specs = {**world.inputs, **written, **world.outputs}
    default = {**world.outputs, **written}
    found: dict[str, ArraySpec] = {}
    for pattern in patterns:
        if pattern == "*":
            found |= default
        elif pattern.endswith(".*"):
            engine = pattern[:-2]
            if engine not in loop.engines:
                raise unknown("engine", engine, loop.engines, "loop.record.packs")
            found |= {n: s for n, s in default.items() if n.startswith(f"{engine}.")}
        elif pattern in specs:
            found[pattern] = specs[pattern]
        else:
            raise unknown("datapack", pattern, specs, "loop.record.packs")
    return found
