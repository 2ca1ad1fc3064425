"""Which episodes of a store are exchanged, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from troupe.core.errors import UserError
from troupe.episodes.store import Store

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
        condition = f" WHERE ({where}\n)" if where else ""
        names = "|".join(("id", *KNOWN))
        sql = f"SELECT COLUMNS('^({names})$') FROM episodes{condition}"
        found = store.query(sql)
        self.ids = frozenset(found["id"].to_pylist())
        self._found = {name: found[name] for name in KNOWN if name in found.column_names}
        if not self.ids:
            what = (
                f"no episode of store '{store.url}' has {where}"
                if where
                else f"store '{store.url}' is empty"
            )
            raise UserError(f"nothing to export: {what}.")

    def rows(self) -> Iterator[pa.Table]:
        """Give the episodes as tables of one row."""
        return self.store.rows(self.ids)

    def has(self, name: str) -> bool:
        """Return whether any of the episodes says something of one of `KNOWN`."""
        found = self._found.get(name)
        return found is not None and bool(found.null_count < len(found))

    def configs(self) -> list[str]:
        """Return the names of the experiments that the store keeps of the episodes."""
        found = self._found.get("config", pa.chunked_array([], pa.string()))
        return sorted(found.drop_null().unique().to_pylist())
