"""The episode store: episodes with images in shared storage, written by many without a coordinator.

Enters: `EpisodeRecord`s, through `StoreWriter`s in any number of processes. Leaves: tables by SQL
(`Store.query`), episodes (`Store.episode`) and batches for learning (`loader`).

``store.json`` says what all episodes have in common (`schema`); ``shards/`` holds Parquet files, a
row an episode (`table`); ``manifests/`` says which of them count (`manifest`), which is all that
exactly once rests on. `upkeep` joins and removes shards, `verify` reads all of them. A file system
of another kind goes into `files`, another encoding of images into `images`.
"""

from troupe.episodes.store.record import EpisodeRecord
from troupe.episodes.store.schema import StoreSchema
from troupe.episodes.store.store import Store, create_store, open_store
from troupe.episodes.store.upkeep import compact, retain
from troupe.episodes.store.verify import verify
from troupe.episodes.store.writer import StoreWriter

__all__ = [
    "EpisodeRecord",
    "Store",
    "StoreSchema",
    "StoreWriter",
    "compact",
    "create_store",
    "open_store",
    "retain",
    "verify",
]
