"""Which steps make up which minibatch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Generator


def minibatches(
    num_steps: int,
    weight: npt.NDArray[np.float32] | None,
    num_epochs: int,
    size: int,
    rng: Generator,
) -> npt.NDArray[np.int32]:
    """Return the indices of the steps of each minibatch of each epoch, (E, M, size).

    Each epoch is a permutation of the steps that have a weight. They are spread evenly over as
    few minibatches as hold them; what is left free holds `num_steps`, the index of no step, and
    so do the minibatches that are not needed. So padding takes no place from real steps.

    Args:
        num_steps: of the fragment.
        weight: of each, (num_steps,), or None for equal ones, which `size` must then divide.
        num_epochs: E.
        size: of a minibatch.
        rng: draws the permutations.

    Raises:
        ValueError: if no step has a weight.
    """
    if weight is None:
        epochs = [rng.permutation(num_steps) for _ in range(num_epochs)]
        return np.stack(epochs).astype(np.int32).reshape(num_epochs, -1, size)
    chosen = np.flatnonzero(weight)
    if not len(chosen):
        raise ValueError("no step of the fragment has a weight above 0")
    order = np.full((num_epochs, -(-num_steps // size), size), num_steps, np.int32)
    for epoch in order:
        parts = np.array_split(chosen[rng.permutation(len(chosen))], -(-len(chosen) // size))
        for minibatch, part in zip(epoch, parts, strict=False):
            minibatch[: len(part)] = part
    return order
