"""Which episodes of a store are exchanged, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from troupe.episodes.store import Store
from troupe.episodes.store.manifest import EXPERIMENT

Report = Callable[[int, int], None]
"""Is told how many episodes are through, and of how many."""
KNOWN = ("terminated", "success", "config")
"""Names in ``about`` that mean something to exports."""


def no_report(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Exchanged:
    """What an export or import did.

    Attributes:
        place: of the data set or store that was written.
        episodes: written.
        steps: written.
        repeats: episodes that were in the store already.
        left_out: what the other format has no place for, or was not asked for.
    """

    place: str
    episodes: int
    steps: int
    repeats: int = 0
    left_out: tuple[str, ...] = ()


class Selection:
    """Episodes of a store, in its order.

    Attributes:
        store: that has them.
        ids: of the episodes.
    """

    def __init__(self, store: Store, where: str | None = None) -> None:
        """Find the episodes.

        Args:
            store: to read from, as it is now.
            where: condition in SQL over the view episodes; None for all.

        Raises:
            UserError: if the condition is wrong, or no episode fulfils it.
            TroupeError: if a shard is missing.
        """
        self.store = store
        ids = store.ids(where)
        self.ids = frozenset(ids)
        names = "|".join(("id", *KNOWN))
        found = store.query(f"SELECT COLUMNS('^({names})$') FROM episodes")
        found = found.filter(pc.is_in(found["id"], pa.array(ids)))
        self._found = {name: found[name] for name in KNOWN if name in found.column_names}

    def rows(self) -> Iterator[pa.Table]:
        """Give the episodes as tables of one row."""
        return self.store.rows(self.ids)

    def has(self, name: str) -> bool:
        """Return whether any of the episodes says something of one of `KNOWN`."""
        found = self._found.get(name)
        return found is not None and bool(found.null_count < len(found))

    def configs(self) -> list[str]:
        """Return the names of the experiments that the store may keep of the episodes."""
        found = self._found.get("config", pa.chunked_array([], pa.string()))
        names = found.drop_null().unique().to_pylist()
        # episodes from elsewhere may have put anything there
        return sorted(n for n in names if isinstance(n, str) and EXPERIMENT.fullmatch(n))
