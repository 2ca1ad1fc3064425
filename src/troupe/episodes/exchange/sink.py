"""Episodes of a data set, written to a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from troupe.core.errors import TroupeError
from troupe.episodes.exchange.selection import Exchanged, Report, no_report
from troupe.episodes.store import EpisodeRecord, Store, StoreSchema, StoreWriter, create_store


class Source(Protocol):
    """A data set, to read.

    Attributes:
        num_episodes: that it says it has.
        left_out: what of it a store has no place for.
    """

    num_episodes: int
    left_out: tuple[str, ...]

    @property
    def schema(self) -> StoreSchema:
        """Of a store for its episodes."""
        ...

    def records(self) -> Iterator[EpisodeRecord]:
        """Give the episodes one by one."""
        ...

    def keep(self, store: Store) -> None:
        """Give a store what it keeps beside the episodes."""
        ...


def write_store(source: Source, folder: Path, url: str, report: Report = no_report) -> Exchanged:
    """Add the episodes of a data set to a store, which is made if there is none.

    Episodes that the store has already, by their ids, are left out.

    Args:
        source: the data set.
        folder: that it is in.
        url: of the store.
        report: is told how far it is.

    Raises:
        UserError: if there is a store of another schema; nothing is written.
        TroupeError: if the data set cannot be read, or has fewer episodes than it says.
    """
    store = create_store(url, source.schema, created_by=f"import of {folder.resolve().name}")
    source.keep(store)
    episodes = steps = seen = 0
    # a place has always the same writer, so that an import that was killed goes on
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    there = set(store.episode_ids())
    with StoreWriter(store, f"import-{digest}") as writer:
        for record in source.records():
            seen += 1
            if record.id not in there and writer.add(record):
                episodes += 1
                steps += record.num_steps
            report(seen, source.num_episodes)
    if seen != source.num_episodes:
        raise TroupeError(
            f"data set '{folder}' says that it has {source.num_episodes} episodes, but has {seen}."
        )
    return Exchanged(store.url, episodes, steps, seen - episodes, source.left_out)
