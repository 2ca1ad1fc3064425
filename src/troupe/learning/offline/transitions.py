"""Transitions from one decision to the next (docs/derivations-offline.md, "Transitions")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.learning.offline.stored import StoredEpisodes

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Transitions:
    """M decisions and what each led to.

    Attributes:
        observation: flat, (M, D).
        action: (M, A), or categories, (M,).
        reward: discounted sum until the next decision or the end, (M,).
        next_observation: then, (M, D).
        discount: of what follows, (M,): 0 where the episode terminated.
        episode: number of its episode, (M,).
    """

    observation: Floats
    action: npt.NDArray[Any]
    reward: Floats
    next_observation: Floats
    discount: Floats
    episode: npt.NDArray[np.int64]


def cut(stored: StoredEpisodes, gamma: float) -> Transitions:
    """Return the transitions of stored episodes.

    Steps before an episode's first decision belong to none. A transition that ends with the fault
    of an engine is left out, as the state after it did not follow from its action.

    Args:
        stored: the episodes.
        gamma: discount of a step.

    Raises:
        UserError: if none is left.
    """
    ends = stored.length.cumsum()
    episode = np.repeat(np.arange(len(ends)), stored.length)
    first = np.flatnonzero(stored.decides)
    owner = episode[first]
    # a transition goes on until the next decision, or the end of its episode
    end = np.minimum(np.append(first[1:], ends[-1]), ends[owner])
    is_last = end == ends[owner]
    # all steps by the transition that they belong to, and how long after its begin they are
    step = np.arange(ends[-1])
    place = np.searchsorted(first, step, side="right") - 1
    step, place = step[place >= 0], place[place >= 0]
    inside = step < end[place]
    step, place = step[inside], place[inside]
    discounted = stored.reward[step] * gamma ** (step - first[place])
    reward = np.bincount(place, discounted, minlength=len(first))
    goes_on = ~(is_last & stored.terminated[owner])
    kept = ~(is_last & stored.faulty[owner])
    if not kept.any():
        raise UserError(
            f"--store: nothing to learn from: all transitions of the {len(stored.ids)} episodes "
            "end with the fault of an engine; choose others with --where."
        )
    return Transitions(
        observation=stored.observation[first[kept]],
        action=stored.action[first[kept]],
        reward=reward[kept].astype(np.float32),
        next_observation=stored.next_observation[end[kept] - 1],
        discount=(goes_on * gamma ** (end - first))[kept].astype(np.float32),
        episode=owner[kept],
    )
