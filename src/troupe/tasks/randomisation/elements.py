"""Which elements of a datapack a user means, and which of them share a draw."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from troupe.core.arrays import Array, ArraySpec, Ids
from troupe.core.errors import UserError, unknown
from troupe.tasks.randomisation.settings import PackSettings

_SUBSCRIPT = re.compile(r"\.\.\.|-?\d+|(-?\d+)?:(-?\d+)?(:-?\d+)?")


@dataclass(frozen=True, eq=False)
class Elements:
    """Some elements of a flat datapack.

    Attributes:
        chosen: their indices in the flat value, (E,).
        shape: of the elements, with E of them.
        draw_shape: the same, with 1 along axes that share a draw.
    """

    chosen: Ids
    shape: tuple[int, ...]
    draw_shape: tuple[int, ...]

    @property
    def num_draws(self) -> int:
        """How many numbers are drawn."""
        return math.prod(self.draw_shape)

    def spread(self, draws: Array) -> Array:
        """Return the draws of each element, (n, E), from (n, num_draws)."""
        each = np.broadcast_to(
            draws.reshape(len(draws), *self.draw_shape), (len(draws), *self.shape)
        )
        spread: Array = each.reshape(len(draws), -1)
        return spread


def elements_of(spec: ArraySpec, settings: PackSettings, where: str) -> Elements:
    """Return the elements that settings choose.

    Raises:
        UserError: if there are none of them, or the distribution does not fit their last axis.
    """
    places = np.arange(math.prod(spec.shape)).reshape(spec.shape)
    try:
        chosen = places[_subscripts(settings.index, spec, f"{where}.index")]
    except (IndexError, ValueError) as error:
        raise UserError(
            f"{where}.index: {settings.index!r} does not fit the shape {spec.shape}: {error}."
        ) from error
    if chosen.size == 0:
        raise UserError(f"{where}.index: {settings.index!r} chooses nothing of {spec.shape}.")
    shape = chosen.shape
    draw_shape = _draw_shape(shape, settings.shared, f"{where}.shared")
    columns = settings.distribution.num_columns
    if columns is not None and (not draw_shape or draw_shape[-1] != columns):
        raise UserError(
            f"{where}.distribution: it has {columns} numbers for the last axis, but what is drawn "
            f"has the shape {draw_shape}."
        )
    return Elements(chosen.ravel(), shape, draw_shape)


def _subscripts(index: Any, spec: ArraySpec, where: str) -> Any:
    if index is None:
        return ...
    if isinstance(index, str) and index not in spec.names:
        parts = [part.strip() for part in index.split(",")]
        if all(_SUBSCRIPT.fullmatch(part) for part in parts):
            return tuple(_subscript(part) for part in parts)
    if isinstance(index, tuple):
        return [_position(one, spec, where) for one in index]
    return _position(index, spec, where)


def _subscript(part: str) -> Any:
    if part == "...":
        return ...
    if ":" not in part:
        return int(part)
    return slice(*(int(bound) if bound else None for bound in part.split(":")))


def _position(one: int | str, spec: ArraySpec, where: str) -> int:
    if isinstance(one, int):
        return one
    if one not in spec.names:
        raise unknown("name of an element", one, spec.names, where)
    return spec.names.index(one)


def _draw_shape(
    shape: tuple[int, ...], shared: bool | tuple[int, ...], where: str
) -> tuple[int, ...]:
    if isinstance(shared, bool):
        return (1,) * len(shape) if shared else shape
    for axis in shared:
        if not 0 <= axis < len(shape):
            raise UserError(
                f"{where}: there is no axis {axis}: the elements have the shape {shape}."
            )
    return tuple(1 if axis in shared else length for axis, length in enumerate(shape))
