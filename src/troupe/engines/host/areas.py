"""Memory that two processes share: two areas to write packs into, and two to read them from.

While the engine advances with what stands in one area, the next values are written into the
other; and it puts its packs where they are not being read.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.engines.base import Engine, EngineSpec

_ALIGNMENT = 64
_ALL = -1


@dataclass(frozen=True)
class InputArea:
    """Values that were written, for the engine to take.

    Attributes:
        values: by pack, (num_instances, ...); only what `order` and `ids` name is valid.
        index: of each pack.
        order: of the writes: index of the pack, and number of its ids or -1 for all instances.
        ids: of the instances that were written, a row for each pack.
    """

    values: Mapping[str, npt.NDArray[Any]]
    index: Mapping[str, int]
    order: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]

    def post(self, pending: Mapping[str, Ids | None]) -> None:
        """Name what was written, in order, with the instances of each pack."""
        for position, (pack, instances) in enumerate(pending.items()):
            index = self.index[pack]
            if instances is None:
                self.order[position] = index, _ALL
            else:
                self.order[position] = index, len(instances)
                self.ids[index, : len(instances)] = instances

    def apply(self, engine: Engine, count: int) -> None:
        """Write the first posts to the engine, as copies that it may keep."""
        packs = tuple(self.values)
        for index, num_ids in self.order[:count].tolist():
            pack = packs[index]
            if num_ids == _ALL:
                engine.write(pack, self.values[pack].copy())
            else:
                instances = self.ids[index, :num_ids].copy()
                engine.write(pack, self.values[pack][instances], instances)


class Areas:
    """The arrays in the shared memory of an engine.

    Packs of objects are not among them, nor those that are rendered when they are read.

    Attributes:
        inputs: two areas to write.
        outputs: two areas to read, packs by name.
    """

    def __init__(self, spec: EngineSpec, memory: mmap.mmap | None = None) -> None:
        """Lay the arrays out in memory; None only counts its bytes."""
        self._memory = memory
        self.num_bytes = 0
        inputs = _raw(spec.inputs)
        outputs = _raw({p: s for p, s in spec.outputs.items() if p not in spec.rendered})
        self.inputs = tuple(self._input_area(spec, inputs) for _ in range(2))
        self.outputs = tuple(self._packs(spec, outputs) for _ in range(2))

    def _input_area(self, spec: EngineSpec, packs: Mapping[str, ArraySpec]) -> InputArea:
        order = self._array((len(packs), 2), np.dtype(np.int64))
        ids = self._array((len(packs), spec.num_instances), np.dtype(np.int64))
        index = {pack: i for i, pack in enumerate(packs)}
        return InputArea(self._packs(spec, packs), index, order, ids)

    def _packs(
        self, spec: EngineSpec, packs: Mapping[str, ArraySpec]
    ) -> dict[str, npt.NDArray[Any]]:
        return {p: self._array((spec.num_instances, *s.shape), s.dtype) for p, s in packs.items()}

    def _array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        start = self.num_bytes
        size = int(np.prod(shape)) * dtype.itemsize
        self.num_bytes += -(-size // _ALIGNMENT) * _ALIGNMENT
        if self._memory is None or size == 0:
            return np.zeros((0,) * len(shape) if size else shape, dtype)
        return np.ndarray(shape, dtype, self._memory, start)


def shared_file(num_bytes: int) -> int:
    """Return the descriptor of memory without a name, so that nothing of it can stay behind."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("troupe")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, max(1, num_bytes))
    return descriptor


def map_areas(spec: EngineSpec, descriptor: int) -> Areas:
    """Return the areas in a shared file."""
    return Areas(spec, mmap.mmap(descriptor, max(1, Areas(spec).num_bytes)))


def _raw(packs: Mapping[str, ArraySpec]) -> dict[str, ArraySpec]:
    return {pack: spec for pack, spec in packs.items() if not spec.dtype.hasobject}
