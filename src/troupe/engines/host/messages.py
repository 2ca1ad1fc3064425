"""Messages: a header in JSON and raw arrays, the same over sockets and gRPC."""

from __future__ import annotations

import ast
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.json_values import object_array, to_json

Arrays = Mapping[str, npt.NDArray[Any]]

_HEADER_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class Message:
    """What one side tells the other.

    Attributes:
        header: JSON values.
        arrays: by name; those of Python objects travel as JSON, all others as their bytes.
    """

    header: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)


def encode(message: Message) -> tuple[bytes, bytes]:
    """Return the header, which describes the arrays, and their bytes.

    Raises:
        TypeError: if the header or an array of objects holds what is not JSON.
    """
    described: list[Any] = []
    buffers: list[bytes] = []
    for name, array in message.arrays.items():
        if array.dtype.hasobject:
            described.append([name, array.shape, None, array.ravel().tolist()])
        else:
            dtype = np.lib.format.dtype_to_descr(array.dtype)
            described.append([name, array.shape, repr(dtype)])
            buffers.append(array.tobytes())
    header = to_json({**message.header, "arrays": described} if described else message.header)
    return header.encode(), b"".join(buffers)


def decode(header: bytes | memoryview, payload: bytes | bytearray | memoryview) -> Message:
    """Return the message of a header and the arrays' bytes, which are copied."""
    fields = json.loads(bytes(header)) if header else {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    offset = 0
    for name, shape, dtype, *values in fields.pop("arrays", ()):
        if dtype is None:
            arrays[name] = object_array(values[0]).reshape(shape)
            continue
        parsed = np.lib.format.descr_to_dtype(ast.literal_eval(dtype))
        count = math.prod(shape)
        flat = np.frombuffer(payload, parsed, count, offset) if count else np.zeros(0, parsed)
        arrays[name] = flat.reshape(shape).copy()
        offset += flat.nbytes
    return Message(fields, arrays)


def to_bytes(message: Message) -> bytes:
    """Return a message in one piece."""
    header, payload = encode(message)
    return b"".join((_HEADER_SIZE.pack(len(header)), header, payload))


def from_bytes(data: bytes) -> Message:
    """Return the message that was made one piece."""
    start = _HEADER_SIZE.size
    end = start + _HEADER_SIZE.unpack_from(data)[0]
    view = memoryview(data)
    return decode(view[start:end], view[end:])


def ids_to_json(instances: Ids | None) -> list[int] | None:
    """Return the ids of instances as JSON, None for all."""
    return None if instances is None else np.asarray(instances, np.int64).tolist()


def ids_from_json(instances: list[int] | None) -> Ids | None:
    """Return the ids of instances, None for all."""
    return None if instances is None else np.array(instances, np.int64)


def join(prefix: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return arrays under names that begin with a prefix."""
    return {f"{prefix}/{name}": np.asarray(array) for name, array in arrays.items()}


def split(prefix: str, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, without it."""
    start = f"{prefix}/"
    return {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}
