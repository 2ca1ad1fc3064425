"""State between engines and functions as plain arrays: JSON values as bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.core.plain_json import to_json


def stored(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of values; of JSON values their text as UTF-8, padded, on one more axis.

    So a snapshot can be written without pickle.

    Raises:
        UserError: if a value is to be JSON and is not.
    """
    if not values.dtype.hasobject:
        return values.copy()
    try:
        texts = [to_json(value).encode() for value in values.reshape(-1)]
    except (TypeError, ValueError) as error:
        raise UserError(f"a value between engines cannot be in a snapshot: {error}") from error
    length = max(len(text) for text in texts)
    rows = [np.frombuffer(text.ljust(length), np.uint8) for text in texts]
    return np.stack(rows).reshape(*values.shape, length)


def restore_stored(values: npt.NDArray[Any], snapshot: npt.NDArray[Any]) -> None:
    """Set values to those that `stored` was given."""
    if not values.dtype.hasobject:
        values[...] = snapshot
        return
    for index in np.ndindex(values.shape):
        values[index] = json.loads(snapshot[index].tobytes())
