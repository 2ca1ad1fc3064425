"""Episodes as rows of a table and back; a row is a whole episode.

Columns: ``id``, ``written`` (when, UTC), ``about.<name>``, ``draw.<name>``, ``step.<name>`` (a list
over the steps, of lists where a step's value has a shape), ``image.<name>`` (a list of encoded
images) and ``frame.<name>`` (the steps that they show).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from troupe.core.errors import UserError
from troupe.episodes.store.images import decode, encode
from troupe.episodes.store.record import EpisodeRecord
from troupe.episodes.store.schema import ImageField, StoreSchema

Encoded = Mapping[str, Sequence[bytes]]


def encode_images(record: EpisodeRecord, schema: StoreSchema) -> dict[str, list[bytes]]:
    """Return an episode's images as bytes, by name.

    Raises:
        UserError: if an image does not fit its encoding.
    """
    try:
        return {
            name: [encode(image, field.encoding) for image in record.images[name]]
            for name, field in schema.images.items()
        }
    except ValueError as error:
        raise UserError(f"episode '{record.id}': {error}.") from error


def to_table(
    records: Sequence[EpisodeRecord], images: Sequence[Encoded], schema: StoreSchema
) -> pa.Table:
    """Return episodes, whose images are encoded already, as a table.

    Raises:
        UserError: if a value of the same name is a number in one episode and a text in another.
    """
    columns: dict[str, pa.Array] = {"id": pa.array([record.id for record in records], pa.string())}
    now = datetime.now(UTC)
    columns["written"] = pa.array([now] * len(records), pa.timestamp("us", "UTC"))
    for prefix, values in (
        ("about", [record.about for record in records]),
        ("draw", [record.draws for record in records]),
    ):
        for name in dict.fromkeys(name for of_one in values for name in of_one):
            columns[f"{prefix}.{name}"] = _scalars(name, [of_one.get(name) for of_one in values])
    for name, step in schema.steps.items():
        arrays = [record.steps[name] for record in records]
        columns[f"step.{name}"] = _lists(arrays, step.shape, step.dtype)
    for name in schema.images:
        encoded = [of_one[name] for of_one in images]
        columns[f"image.{name}"] = pa.array(encoded, pa.list_(pa.large_binary()))
        frames = [np.asarray(record.frames[name], np.int32) for record in records]
        columns[f"frame.{name}"] = _lists(frames, (), "int32")
    return pa.table(columns)


def empty_table(schema: StoreSchema) -> pa.Table:
    """Return the table of a store without episodes."""
    return to_table([], [], schema)


def to_record(row: pa.Table, schema: StoreSchema) -> EpisodeRecord:
    """Return the episode of a table's only row."""
    about, draws = (
        {
            name.removeprefix(prefix): row[name][0].as_py()
            for name in row.column_names
            if name.startswith(prefix) and row[name][0].is_valid
        }
        for prefix in ("about.", "draw.")
    )
    return EpisodeRecord(
        row["id"][0].as_py(),
        about,
        draws,
        {name: flat_values(row[f"step.{name}"], f.shape) for name, f in schema.steps.items()},
        {n: decoded(_elements(row[f"image.{n}"]), f) for n, f in schema.images.items()},
        {name: flat_values(row[f"frame.{name}"], ()) for name in schema.images},
    )


def decoded(contents: Iterable[Any], field: ImageField) -> npt.NDArray[Any]:
    """Return images, (K, H, W[, C]), of Arrow scalars of bytes."""
    dtype = np.dtype(field.dtype)
    made = [decode(c.as_py(), field.encoding, field.shape, dtype) for c in contents]
    return np.stack(made) if made else np.empty((0, *field.shape), dtype)


def flat_values(column: pa.ChunkedArray, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the steps' values of all rows one after the other, (sum of T, ...)."""
    values = _elements(column)
    for _ in range(1 if shape else 0):
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, *shape)


def _elements(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return whole.flatten()


def _scalars(name: str, values: list[Any]) -> pa.Array:
    plain = [v.tolist() if isinstance(v, np.ndarray | np.generic) else v for v in values]
    if any(isinstance(v, float) for v in plain):
        plain = [float(v) if type(v) is int else v for v in plain]
    plain = [list(map(float, v)) if isinstance(v, list | tuple) else v for v in plain]
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        kinds = sorted({type(value).__name__ for value in plain})
        raise UserError(f"{name}: of one kind in all episodes, not {', '.join(kinds)}.") from error


def _lists(arrays: list[npt.NDArray[Any]], shape: tuple[int, ...], dtype: str) -> pa.Array:
    ends = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    kind = np.dtype(dtype)
    flat = np.concatenate(arrays).reshape(-1) if arrays else np.empty(0, kind)
    values = _column(np.ascontiguousarray(flat, kind))
    if shape:
        # lists of one length: the format has no fixed ones, and reading those is slower
        size = int(np.prod(shape))
        inner = np.arange(0, len(flat) + 1, size, dtype=np.int32)
        values = pa.ListArray.from_arrays(_column(inner), values)
    return pa.ListArray.from_arrays(_column(ends), values)


def _column(values: npt.NDArray[Any]) -> pa.Array:
    """Return an Arrow array; made from the bytes, since `pa.array` would import pandas first."""
    content = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(content)])
