"""Packs on their way to functions, over connections that are not direct."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.loop.connections import Line
from troupe.loop.sampling import SampledLine

Read = Callable[[str], npt.NDArray[Any]]


class Feed:
    """One pack that one function reads.

    Attributes:
        engine: name of the one whose pack it is, at whose exchanges values are sent.
        is_sampled: whether it is sampled on its way.
    """

    def __init__(self, engine: str, read: Read, name: str, line: Line | SampledLine) -> None:
        """Lay a line.

        Args:
            engine: name of the one whose pack it is.
            read: returns a pack of the engine's.
            name: of the pack, to that.
            line: on which it travels.
        """
        self.engine = engine
        self._read, self._name, self._line = read, name, line
        self.is_sampled = isinstance(line, SampledLine)
        self._news_ns = -1

    def send(self, now_ns: int) -> None:
        """Put the pack on its way."""
        self._line.send(self._read(self._name), now_ns)

    def receive(self, now_ns: int) -> npt.NDArray[Any]:
        """Return what arrived last, a view that cannot be changed."""
        if self._line.deliver(now_ns).any():
            self._news_ns = now_ns
        return unchangeable(self._line.value)

    def is_news(self, now_ns: int) -> bool:
        """Return whether anything has come since the function last looked."""
        self.receive(now_ns)
        return self._news_ns == now_ns

    def reset(self, seeds: Sequence[int], instances: Ids | None) -> None:
        """Lose what is on its way to instances."""
        self._news_ns = -1
        self._line.reset(seeds, instances)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is on its way, arrays that lead with the instances."""
        return self._line.snapshot()

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        self._news_ns = -1
        self._line.restore(snapshot)


def unchangeable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that a function cannot change: the values are the engine's own."""
    view = values.view()
    view.setflags(write=False)
    return view
