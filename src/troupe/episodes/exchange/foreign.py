"""Ids of episodes that no store has given one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def foreign_id(
    dataset: str, number: int, steps: Mapping[str, npt.NDArray[Any]], more: str = ""
) -> str:
    """Return the id of an episode of a data set from elsewhere.

    It has a digest of what the episode holds: data sets of one name don't hide each other, while
    one that is copied, or grows, has the ids that it had.

    Args:
        dataset: name of the data set.
        number: of the episode in it.
        steps: arrays of the episode's steps by name.
        more: what else tells it from others.
    """
    digest = hashlib.blake2b(more.encode(), digest_size=6)
    for name, values in sorted(steps.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values).data)
    return f"{dataset}-{number}-{digest.hexdigest()}"
