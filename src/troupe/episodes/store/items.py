"""Items of row groups as arrays: steps, images or episodes with what belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from troupe.core.errors import UserError
from troupe.episodes.store.manifest import Shard
from troupe.episodes.store.store import Store
from troupe.episodes.store.table import decoded, flat_values

Batch = dict[str, npt.NDArray[Any]]
Unit = tuple[Shard, int, int]
"""A shard, one of its row groups, and the group's first row."""


def all_units(shards: Sequence[Shard]) -> list[Unit]:
    """Return what can be read by itself, in the order of the shards."""
    units = []
    for shard in shards:
        first = 0
        for group, num_rows in enumerate(shard.manifest.groups):
            units.append((shard, group, first))
            first += num_rows
    return units


def read_items(store: Store, unit: Unit, columns: list[str]) -> Batch:
    """Return the items of a row group, see `loader`.

    Raises:
        UserError: if images are to be read together that show different steps.
        TroupeError: if the shard cannot be read.
    """
    shard, group, first = unit
    name = shard.manifest.name
    frames = [c.replace("image.", "frame.", 1) for c in columns if c.startswith("image.")]
    with store.parquet(name) as file:
        there = set(file.schema_arrow.names)
        wanted = list(dict.fromkeys(c for c in [*columns, *frames] if c in there)) or ["id"]
        table = store.read_group(file, name, group, wanted)
    ids = shard.manifest.episodes[first : first + len(table)]
    if not shard.repeats.isdisjoint(ids):
        table = table.filter(pa.array([id not in shard.repeats for id in ids]))
    return _of_frames(store, table, columns, frames) if frames else _of_steps(store, table, columns)


def _of_steps(store: Store, table: pa.Table, columns: list[str]) -> Batch:
    steps = [c for c in columns if c.startswith("step.")]
    lengths = pc.list_value_length(table[steps[0]]).to_numpy() if steps else None
    batch = {}
    for column in columns:
        if column.startswith("step."):
            shape = store.schema.steps[column.removeprefix("step.")].shape
            batch[column] = flat_values(table[column], shape)
        else:
            values = _values(table, column)
            batch[column] = values if lengths is None else np.repeat(values, lengths, axis=0)
    return batch


def _of_frames(store: Store, table: pa.Table, columns: list[str], frames: list[str]) -> Batch:
    lengths = pc.list_value_length(table[frames[0]]).to_numpy()
    shown = flat_values(table[frames[0]], ())
    for other in frames[1:]:
        if not np.array_equal(flat_values(table[other], ()), shown):
            names = ", ".join(frame.removeprefix("frame.") for frame in frames)
            raise UserError(f"images {names} show different steps: read them one by one.")
    steps = [c for c in columns if c.startswith("step.")]
    kept = np.arange(len(shown))
    if steps:
        num_steps = pc.list_value_length(table[steps[0]]).to_numpy()
        kept = np.flatnonzero(shown < np.repeat(num_steps, lengths))
        shown = (shown + np.repeat(np.cumsum(num_steps) - num_steps, lengths))[kept]
    batch = {}
    for column in columns:
        kind, _, name = column.partition(".")
        if kind == "image":
            contents = table[column].combine_chunks().flatten().take(pa.array(kept))
            batch[column] = decoded(contents, store.schema.images[name])
        elif kind == "step":
            batch[column] = flat_values(table[column], store.schema.steps[name].shape)[shown]
        else:
            batch[column] = np.repeat(_values(table, column), lengths, axis=0)[kept]
    return batch


def _values(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """Return a column of whole episodes.

    Numbers that are missing are NaN; texts, truth values and lists None. If a shard has none at
    all, not even their kind is known: all of its rows are NaN.
    """
    if column not in table.column_names:
        return np.full(len(table), np.nan)
    values = table[column]
    if pa.types.is_list(values.type):
        rows = values.to_pylist()
        sizes = {len(row) for row in rows if row is not None}
        if len(sizes) == 1 and None not in rows:
            return np.asarray(rows, np.float64)
        ragged = np.empty(len(rows), object)
        ragged[:] = [None if row is None else np.asarray(row) for row in rows]
        return ragged
    return np.asarray(values.to_numpy())


def num_items(batch: Batch) -> int:
    """Return how many items a batch has."""
    return len(next(iter(batch.values())))


def part_of(batch: Batch, begin: int, end: int) -> Batch:
    """Return some of a batch's items, without a copy."""
    return {name: values[begin:end] for name, values in batch.items()}


def writable(batch: Batch) -> Batch:
    """Return a batch of arrays of their own, where some are views of Arrow's memory."""
    return {name: np.require(values, requirements="W") for name, values in batch.items()}


def joined(parts: Sequence[Batch]) -> Batch:
    """Return the items of several batches."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate(_alike([part[name] for part in parts])) for name in parts[0]}


def mixed(parts: Sequence[Batch], places: npt.NDArray[np.int64]) -> Batch:
    """Return the items of several batches, each in its place."""
    ends = np.cumsum([num_items(part) for part in parts])[:-1]
    places_of_parts = np.split(places, ends)
    batch = {}
    for name in parts[0]:
        values = _alike([part[name] for part in parts])
        made = np.empty((len(places), *values[0].shape[1:]), np.result_type(*values))
        # each item is copied once, as a block of bytes
        rows = _rows(made)
        for of_part, where in zip(values, places_of_parts, strict=True):
            rows[where] = _rows(np.ascontiguousarray(of_part, made.dtype))
        batch[name] = made
    return batch


def _rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of items that are blocks of bytes, where they are several numbers each."""
    size = int(np.prod(values.shape[1:]))
    if values.ndim == 1 or values.dtype.hasobject or not size:
        return values
    block = np.dtype((np.void, size * values.itemsize))
    return values.reshape(len(values), size).view(block)[:, 0]


def _alike(parts: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
    """Return arrays whose items have one shape; lists of different lengths are objects."""
    if len({part.shape[1:] for part in parts}) == 1:
        return parts
    made = []
    for part in parts:
        objects = np.empty(len(part), object)
        for i, item in enumerate(part):
            objects[i] = item
        made.append(objects)
    return made
