"""Episodes of a store, read whole to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.episodes.store import Store

NEEDED = ("observation", "next_observation", "action", "reward")
DECIDES = "decides"
READ_STEPS = 65_536
"""Steps that are read at a time."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StoredEpisodes:
    """E episodes by id, and their S steps one episode after the other.

    Attributes:
        ids: of the episodes, ascending.
        about: columns of the store's view ``episodes``, each (E,).
        length: steps of each episode, (E,).
        terminated: whether an episode ended by itself, (E,).
        faulty: whether an engine's failure ended it, (E,).
        observation: before each step, flat, (S, D).
        next_observation: after it, flat, (S, D).
        action: within its bounds, (S, A), or categories, (S,).
        reward: of each step, (S,).
        decides: where the action counted, (S,).
    """

    ids: Sequence[str]
    about: Mapping[str, npt.NDArray[Any]]
    length: npt.NDArray[np.int64]
    terminated: Bools
    faulty: Bools
    observation: Floats
    next_observation: Floats
    action: npt.NDArray[Any]
    reward: Floats
    decides: Bools

    @property
    def num_steps(self) -> int:
        """Steps of all episodes."""
        return len(self.reward)

    def returns(self) -> npt.NDArray[np.float64]:
        """Return the sum of each episode's rewards, (E,)."""
        episode = np.repeat(np.arange(len(self.ids)), self.length)
        returns = np.zeros(len(self.ids))
        np.add.at(returns, episode, self.reward)
        return returns

    def reward_scale(self) -> float:
        """Return the factor with which the best and the worst return differ by 1 for each step.

        The steps are those of the mean length; 1 if all returns are equal.
        """
        spread = float(np.ptp(self.returns()))
        return float(self.length.mean()) / spread if spread else 1.0

    def digest(self) -> str:
        """Return by what the same episodes can be known again, however a store keeps them."""
        digest = hashlib.blake2b("\n".join(self.ids).encode(), digest_size=16)
        ends = self.length, self.terminated, self.faulty, self.decides
        for values in (*ends, self.observation, self.next_observation, self.action, self.reward):
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


def check_store(store: Store, observation: ArraySpec, action: ArraySpec, name: str) -> None:
    """Check that a store's episodes can teach a policy for an experiment.

    Args:
        store: of the episodes.
        observation: of one instance of the experiment.
        action: of one instance of the experiment.
        name: of the experiment.

    Raises:
        UserError: that says what is missing or differs.
    """
    steps = store.schema.steps
    missing = [array for array in NEEDED if array not in steps]
    if missing:
        raise UserError(
            f"--store: '{store.url}' keeps no {' and no '.join(missing)} of its steps, which "
            "learning needs. Collect with: troupe collect EXPERIMENT --store URL "
            "--set collect.observations=true"
        )
    for array, spec in (("observation", observation), ("action", action)):
        if steps[array].shape != spec.shape:
            raise UserError(
                f"--store: an {array} in '{store.url}' has the shape {steps[array].shape}, in "
                f"experiment '{name}' {spec.shape}."
            )


def select(store: Store, where: str | None = None) -> list[str]:
    """Return the ids of a store's episodes, ascending.

    Args:
        store: to look at.
        where: a condition in SQL on the columns of the view ``episodes``; default: all of them.

    Raises:
        UserError: if the condition is wrong, or no episode fulfils it.
    """
    try:
        return store.ids(where)
    except UserError as error:
        raise UserError(f"{'--store' if where is None else '--where'}: {error}") from error


def read(store: Store, ids: Sequence[str], action: ArraySpec) -> StoredEpisodes:
    """Return episodes of a store, all in memory.

    Args:
        store: that has been checked.
        ids: of the episodes, ascending.
        action: of one instance; continuous actions are cut to its bounds, as tasks do.

    Raises:
        UserError: if the store has not all of them, does not say which terminated, in none of
            them an action counts, or a value is not finite.
        TroupeError: if a shard cannot be read.
    """
    about = _about(store, ids)
    terminated = about.get("terminated", np.full(len(ids), None))
    for id, value in zip(ids, terminated, strict=True):
        if value is None or value != value:
            raise UserError(
                f"--store: '{store.url}': 'terminated' is missing in the 'about' of '{id}': "
                "whether the episode ended by itself, not by a time limit."
            )
    names = [*NEEDED, *([DECIDES] if DECIDES in store.schema.steps else [])]
    steps, length = _steps(store, names, ids)
    num_steps = int(length.sum())
    for name in NEEDED:
        finite = np.isfinite(steps[name].reshape(num_steps, -1)).all(axis=1)
        if not finite.all():
            id = np.repeat(ids, length)[finite.argmin()]
            raise UserError(
                f"--store: '{store.url}': {name} in episode '{id}' is not finite everywhere; "
                f"leave it out: --where \"id != '{id}'\""
            )
    decides = steps.get(DECIDES, np.ones(num_steps, np.bool_))
    if not decides.any():
        raise UserError(
            f"--store: '{store.url}': in none of its {num_steps} steps an action counts."
        )
    faults = about.get("fault", np.full(len(ids), ""))
    actions = steps["action"].reshape(num_steps, -1)
    if action.categories:
        actions = actions[:, 0].astype(np.int32)
    else:
        low, high = action.low.reshape(-1), action.high.reshape(-1)
        actions = np.clip(actions, low, high).astype(np.float32)
    return StoredEpisodes(
        ids=list(ids),
        about=about,
        length=length,
        terminated=terminated.astype(np.bool_),
        faulty=np.array([bool(fault) for fault in faults], np.bool_),
        observation=steps["observation"].reshape(num_steps, -1).astype(np.float32),
        next_observation=steps["next_observation"].reshape(num_steps, -1).astype(np.float32),
        action=actions,
        reward=steps["reward"].astype(np.float32),
        decides=decides,
    )


def _about(store: Store, ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return all columns of episodes, in the order of their ids."""
    table = store.query("SELECT * FROM episodes ORDER BY id")
    place = {id: row for row, id in enumerate(table["id"].to_pylist())}
    missing = [id for id in ids if id not in place]
    if missing:
        raise UserError(
            f"--store: '{store.url}' has no longer {len(missing)} of {len(ids)} episodes, "
            f"e.g. '{missing[0]}'."
        )
    chosen = table.take([place[id] for id in ids])
    return {
        name: chosen[name].to_numpy(zero_copy_only=False)
        for name in chosen.column_names
        if name not in ("id", "written")
    }


def _steps(
    store: Store, names: Sequence[str], ids: Sequence[str]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Return arrays of the steps of episodes, (S, ...), and the length of each episode, (E,)."""
    place = {id: row for row, id in enumerate(ids)}
    parts: list[dict[str, npt.NDArray[Any]]] = []
    owners: list[npt.NDArray[np.int64]] = []
    for batch in store.iter_batches(["id", *(f"step.{name}" for name in names)], READ_STEPS):
        found = batch["id"]
        begins = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
        lengths = np.diff(np.append(begins, len(found)))
        owner = np.repeat([place.get(id, -1) for id in found[begins]], lengths)
        parts.append({name: batch[f"step.{name}"][owner >= 0] for name in names})
        owners.append(owner[owner >= 0])
    owner = np.concatenate(owners)
    # as stores keep them episodes are in any order, but the steps of each in theirs
    order = np.argsort(owner, kind="stable")
    steps = {name: np.concatenate([part[name] for part in parts])[order] for name in names}
    return steps, np.bincount(owner, minlength=len(ids))
