"""Import of a data set of Minari into a store.

Of one from elsewhere, parts of a space of several become arrays of their own
(``observation.goal``); ``infos`` of numbers, one after each step, become ``info.<name>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.episodes.exchange.foreign import foreign_id
from troupe.episodes.exchange.minari_export import ACTION, NEEDED, NEXT, OBSERVATION, REWARD
from troupe.episodes.exchange.minari_files import ORIGIN, check_minari
from troupe.episodes.exchange.origin import open_origin
from troupe.episodes.store import EpisodeRecord, Store, StoreSchema
from troupe.episodes.store.schema import SCALARS

Arrays = dict[str, npt.NDArray[Any]]


class MinariSource:
    """A data set of Minari in a folder, as episodes of a store; see `sink.Source`."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            UserError: if Minari is not installed, or cannot read it.
        """
        check_minari("import")
        from minari import MinariDataset

        try:
            self._data = MinariDataset(str(folder / "data"))
        except (ValueError, AssertionError, KeyError) as error:
            raise UserError(f"data set '{folder}' cannot be read by Minari: {error}.") from error
        self._name = self._data.id.replace("/", ".")
        self.num_episodes = int(self._data.total_episodes)
        self._origin = open_origin(folder / ORIGIN)
        self.left_out: tuple[str, ...] = ()
        if self._origin is not None:
            kept = self._origin.layout["images"]
            images = {name: self._origin.schema.images[name] for name in kept}
            self.schema = StoreSchema(self._origin.schema.steps, images)
        else:
            self.schema = StoreSchema.of(self._first())

    def records(self) -> Iterator[EpisodeRecord]:
        """Give the episodes.

        Raises:
            TroupeError: if one lacks what others have.
        """
        known = iter(()) if self._origin is None else self._origin.records()
        for episode in self._data.iterate_episodes():
            part = next(known, None)
            if self._origin is not None and part is not None:
                yield _ours(episode, part, self.schema)
            else:
                yield self._theirs(episode)

    def keep(self, store: Store) -> None:
        """Give the store what it keeps beside the episodes."""
        if self._origin is not None:
            self._origin.keep_experiments(store)

    def _first(self) -> EpisodeRecord:
        if not self.num_episodes:
            raise UserError(f"data set '{self._name}' has no episodes.")
        return self._theirs(self._data[0])

    def _theirs(self, episode: Any) -> EpisodeRecord:
        """Return an episode of a data set from elsewhere."""
        length = len(episode.rewards)
        left_out: list[str] = []
        seen = _flat(OBSERVATION, episode.observations, left_out)
        steps = _flat(ACTION, episode.actions, left_out)
        steps[REWARD] = episode.rewards
        for name, values in seen.items():
            steps[name], steps[f"next_{name}"] = values[:-1], values[1:]
        for name, values in _flat("info", episode.infos or {}, left_out).items():
            if len(values) in (length, length + 1):
                steps[name] = values[-length:]
            else:
                left_out.append(name)
        self.left_out = tuple(dict.fromkeys([*self.left_out, *left_out]))
        about: dict[str, Any] = {
            "length": length,
            "return": float(np.sum(episode.rewards)),
            "terminated": bool(episode.terminations[-1]),
        }
        for name, value in next(
            iter(self._data.storage.get_episode_metadata([episode.id]))
        ).items():
            if name not in ("id", "total_steps", *about) and isinstance(value, SCALARS):
                about[name] = value
        return EpisodeRecord(foreign_id(self._name, episode.id, steps), about, {}, steps)


def _ours(episode: Any, part: EpisodeRecord, schema: StoreSchema) -> EpisodeRecord:
    """Return an episode of a data set that we have exported."""
    length = len(episode.rewards)
    found = {
        OBSERVATION: episode.observations[:-1],
        NEXT: episode.observations[1:],
        ACTION: episode.actions,
        REWARD: episode.rewards,
    }
    found |= {name: episode.infos[name][:length] for name in schema.steps if name not in NEEDED}
    steps = {name: np.asarray(found[name], field.dtype) for name, field in schema.steps.items()}
    images = {name: episode.infos[name] for name in schema.images}
    frames = {name: np.arange(length + 1, dtype=np.int32) for name in images}
    return EpisodeRecord(part.id, part.about, part.draws, steps, images, frames)


def _flat(name: str, value: Any, left_out: list[str]) -> Arrays:
    """Return the arrays of numbers in a value of a space, by name; others are left out."""
    parts: dict[str, Any] = {}
    if isinstance(value, dict):
        parts = {f"{name}.{key}": part for key, part in value.items()}
    elif isinstance(value, tuple):
        parts = {f"{name}.{i}": part for i, part in enumerate(value)}
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim:
        return {name: value}
    else:
        left_out.append(name)
    found: Arrays = {}
    for key, part in parts.items():
        found |= _flat(key, part, left_out)
    return found
