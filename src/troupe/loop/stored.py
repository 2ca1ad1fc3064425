"""State between engines and functions as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from troupe.core import json_values
from troupe.core.errors import UserError


def stored(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of values that a snapshot can hold; JSON values as bytes.

    Raises:
        UserError: if a value is to be JSON and is not.
    """
    try:
        return json_values.stored(values)
    except (TypeError, ValueError) as error:
        raise UserError(f"a value between engines cannot be in a snapshot: {error}") from error


def restore_stored(values: npt.NDArray[Any], snapshot: npt.NDArray[Any]) -> None:
    """Set values to those that `stored` was given."""
    values[...] = json_values.unstored(snapshot, values.dtype)
