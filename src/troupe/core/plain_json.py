"""JSON of values that hold numpy's arrays and numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def to_json(value: Any) -> str:
    """Return the JSON of a value; arrays and numbers of numpy become lists and numbers.

    Raises:
        TypeError: if the value holds anything else.
    """
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} is not JSON")
