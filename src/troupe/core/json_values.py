"""JSON values in arrays: their text, and their bytes where only plain arrays may go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def to_json(value: Any) -> str:
    """Return the JSON of a value; arrays and numbers of numpy become lists and numbers.

    Raises:
        TypeError: if the value holds anything else.
    """
    return json.dumps(value, separators=(",", ":"), default=_plain)


def object_array(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Return an array of objects, (len(values),), also where the values are lists."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def stored(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of values; of JSON values their text as UTF-8, padded, on one more axis.

    So a snapshot can be written without pickle.

    Raises:
        TypeError: if a value is to be JSON and is not.
        ValueError: if a value is to be JSON and holds itself.
    """
    if not values.dtype.hasobject:
        return values.copy()
    texts = [to_json(value).encode() for value in values.reshape(-1)]
    length = max(len(text) for text in texts)
    rows = [np.frombuffer(text.ljust(length), np.uint8) for text in texts]
    return np.stack(rows).reshape(*values.shape, length)


def unstored(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return what `stored` was given, of a dtype; zeros may have been put behind the texts."""
    if not dtype.hasobject:
        return values
    shape = values.shape[:-1]
    rows = values.reshape(-1, values.shape[-1])
    texts = [row.tobytes().rstrip(b"\0") for row in rows]
    return object_array([json.loads(text) for text in texts]).reshape(shape)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} is not JSON")
