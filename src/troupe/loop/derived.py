"""Packs that preprocessing functions make, which others read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.loop.stored import restore_stored, stored


class Derived:
    """The newest value of a pack that a preprocessing function makes.

    The first value says what shape and dtype the pack has.

    Attributes:
        pack: as "engine.pack".
        unit: of the values, None if the function does not say.
        value: the newest, (num_instances, ...); None before the first.
    """

    def __init__(self, pack: str, unit: str | None, num_instances: int) -> None:
        """Begin without a value."""
        self.pack, self.unit = pack, unit
        self.value: npt.NDArray[Any] | None = None
        self._num_instances = num_instances

    @property
    def spec(self) -> ArraySpec:
        """Return the spec of one instance's value, as far as it is known."""
        if self.value is None:
            return ArraySpec((), self.unit or "")
        return ArraySpec(self.value.shape[1:], self.unit or "", dtype=self.value.dtype)

    def fill(self, value: Any) -> None:
        """Keep a copy of a value, which replaces an earlier one.

        Raises:
            UserError: if it does not lead with the instances, is no array of numbers, bools or
                JSON, or is not as the first value was.
        """
        array = np.array(value)
        if array.shape[:1] != (self._num_instances,):
            raise UserError(
                f"'{self.pack}' must lead with {self._num_instances} instances, but has the shape "
                f"{array.shape}."
            )
        is_json = array.dtype.hasobject and array.ndim == 1
        if not is_json and (array.dtype.kind not in "biuf" or array.dtype.itemsize > 8):
            raise UserError(
                f"'{self.pack}' must hold numbers or bools, or with dtype object a JSON value for "
                f"each instance, not {array.dtype}."
            )
        first = self.value
        if first is not None and (array.shape, array.dtype) != (first.shape, first.dtype):
            raise UserError(
                f"'{self.pack}' had the shape {first.shape} and dtype {first.dtype} before, not "
                f"{array.shape} and {array.dtype}."
            )
        self.value = array

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the newest value, if there is one; JSON under another name than numbers."""
        if self.value is None:
            return {}
        return {"json" if self.value.dtype.hasobject else "value": stored(self.value)}

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's value."""
        for name, value in snapshot.items():
            array = np.empty(len(value), object) if name == "json" else np.empty_like(value)
            restore_stored(array, value)
            self.value = array

    def read(self, where: str) -> npt.NDArray[Any]:
        """Return the newest value.

        Args:
            where: the argument that asks for it, for the message.

        Raises:
            UserError: if there is none yet.
        """
        if self.value is None:
            raise UserError(
                f"{where}: there is no '{self.pack}' yet: its function returned nothing."
            )
        return self.value
