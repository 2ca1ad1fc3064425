"""What functions send to an engine, kept until the engine synchronises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import UserError
from troupe.loop.connections import ConnectionSettings, Line
from troupe.loop.sampling import SampledLine
from troupe.loop.stored import restore_stored, stored

Write = Callable[..., None]


class Slot:
    """The newest value for one input of an engine.

    Attributes:
        pack: as "engine.pack".
        value: the newest, (num_instances, ...).
    """

    def __init__(
        self,
        pack: str,
        spec: ArraySpec,
        num_instances: int,
        write: Write,
        settings: ConnectionSettings,
        line: Line | SampledLine | None,
    ) -> None:
        """Make an empty slot, which sends nothing until it is filled.

        Args:
            pack: as "engine.pack".
            spec: of the pack.
            num_instances: how many instances it has values for.
            write: gives the engine the value, for all instances or some.
            settings: of the connection.
            line: on which values travel first, if they do not arrive at once.
        """
        self.pack = pack
        self.value = np.zeros((num_instances, *spec.shape), spec.dtype)
        self._name = pack.split(".", 1)[1]
        self._write = write
        self._latch = settings.delivery == "latch"
        self._line = line
        self._is_json = spec.dtype.hasobject
        self._full = np.zeros(num_instances, np.bool_)
        self._is_all_full = False
        self._is_new = False

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Forget the values of instances."""
        self._full[slice(None) if instances is None else instances] = False
        self._is_all_full = self._is_new = False
        if self._line is not None:
            self._line.reset(seeds, instances)

    def fill(self, value: Any) -> None:
        """Keep a copy of a value, which replaces an earlier one.

        Raises:
            UserError: if its shape or dtype does not fit the pack.
        """
        if self._is_json:
            _fill_json(self.value, value)
        else:
            try:
                np.copyto(self.value, value, casting="same_kind")
            except (ValueError, TypeError) as error:
                raise self._misfit(value) from error
        if not self._is_all_full:
            self._full[:] = self._is_all_full = True
        self._is_new = True

    def send(self, now_ns: int) -> None:
        """Give the engine what it is to get at this synchronisation."""
        if self._line is not None:
            self._send_line(self._line, now_ns)
        elif self._is_all_full and (self._is_new or self._latch):
            self._write(self._name, self.value)
        elif self._latch and self._full.any():
            ids = np.flatnonzero(self._full)
            self._write(self._name, self.value[ids], ids)
        self._is_new = False

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the slot's state, arrays that lead with the instances."""
        is_new = np.full(len(self.value), self._is_new)
        line = self._line.snapshot() if self._line is not None else {}
        own = {"value": stored(self.value), "full": self._full.copy(), "is_new": is_new}
        return own | under("line", line)

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        restore_stored(self.value, snapshot["value"])
        self._full[...] = snapshot["full"]
        self._is_all_full, self._is_new = bool(self._full.all()), bool(snapshot["is_new"][0])
        if self._line is not None:
            self._line.restore(own_keys(snapshot, "line"))

    def _send_line(self, line: Line | SampledLine, now_ns: int) -> None:
        if self._is_new:
            line.send(self.value, now_ns)
        arrived = line.deliver(now_ns)
        ids = np.flatnonzero(line.has_value if self._latch else arrived)
        if len(ids) == len(self.value):
            self._write(self._name, line.value)
        elif len(ids):
            self._write(self._name, line.value[ids], ids)

    def _misfit(self, value: Any) -> UserError:
        given = np.asarray(value)
        return UserError(
            f"'{self.pack}' takes an array of shape {self.value.shape} and dtype "
            f"{self.value.dtype}, not {given.shape} and {given.dtype}."
        )


def under(owner: str, snapshot: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return an owner's snapshot with names that stand beside others'."""
    return {f"{owner}/{key}": values for key, values in snapshot.items()}


def own_keys(snapshot: Mapping[str, npt.NDArray[Any]], owner: str) -> dict[str, npt.NDArray[Any]]:
    """Return the part of a snapshot that belongs to an owner, by the owner's names."""
    prefix = f"{owner}/"
    return {k.removeprefix(prefix): v for k, v in snapshot.items() if k.startswith(prefix)}


def _fill_json(target: npt.NDArray[Any], value: Any) -> None:
    if len(target) == 1 and not isinstance(value, np.ndarray):
        target[0] = value
    else:
        target[:] = value
