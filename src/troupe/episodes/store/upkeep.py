"""Upkeep of a store: few large shards instead of many small ones, and what is old removed.

A new shard's manifest replaces those of the shards that it was made from, all in one moment: a
reader sees either them or it, and every episode once. What was replaced is removed only some time
later, for readers that have begun before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from troupe.core.errors import UserError
from troupe.episodes.store.manifest import (
    COMPACTED,
    Manifest,
    Shard,
    live_shards,
    manifest_file,
    shard_file,
    superseded,
)
from troupe.episodes.store.shard import make_removal, make_shard
from troupe.episodes.store.store import Store

TARGET_BYTES = 256 * 2**20
GRACE_S = 3600.0
UNFINISHED_AGE_S = 86_400.0
"""From when on a shard without a manifest is of a writer that died, not of one that is slow."""


@dataclass(frozen=True)
class Upkeep:
    """What was done.

    Attributes:
        before: shards that counted before.
        after: shards that count now.
        episodes_removed: by retention.
        files_removed: of shards replaced before, and of writers that died.
    """

    before: int
    after: int
    episodes_removed: int
    files_removed: int


def compact(store: Store, *, target_bytes: int = TARGET_BYTES, grace_s: float = GRACE_S) -> Upkeep:
    """Join small shards, and remove what was replaced earlier.

    Args:
        store: to be compacted, while others read and write.
        target_bytes: of a shard; those of half of it or more stay as they are.
        grace_s: how long what was replaced stays for readers that have begun before.

    Raises:
        TroupeError: if a shard cannot be read.
    """
    shards = store.shards()
    small = [s for s in shards if s.manifest.num_bytes < target_bytes / 2 or s.repeats]
    for group in _groups(small, target_bytes):
        if len(group) > 1 or group[0].repeats:
            _rewrite(store, group, {id for shard in group for id in shard.episodes})
    removed = clean(store, grace_s)
    return Upkeep(len(shards), len(live_shards(store.manifests())), 0, removed)


def retain(
    store: Store,
    *,
    newest: int | None = None,
    younger_than_s: float | None = None,
    grace_s: float = GRACE_S,
    target_bytes: int = TARGET_BYTES,
) -> Upkeep:
    """Remove episodes, except the newest, or those younger than an age, or those that are both.

    Args:
        store: to be cleaned, while others read and write.
        newest: how many to keep.
        younger_than_s: age up to which to keep.
        grace_s: how long removed files stay for readers that have begun before.
        target_bytes: of the shards that are written anew, since only some of theirs are kept.

    Raises:
        UserError: if neither is given, or one is negative.
        TroupeError: if a shard cannot be read.
    """
    if newest is None and younger_than_s is None:
        raise UserError("retain: say how many to keep, or up to which age.")
    if (newest or 0) < 0 or (younger_than_s or 0) < 0:
        raise UserError("retain: neither a number nor an age can be negative.")
    shards = store.shards()
    kept = _kept(store, shards, newest, younger_than_s)
    changed = [s for s in shards if not kept.issuperset(s.manifest.episodes)]
    empty = [s for s in changed if kept.isdisjoint(s.episodes)]
    if empty:
        names = [s.manifest.name for s in empty]
        removal = make_removal(store.schema, names)
        store.files.put(manifest_file(removal.name), removal.to_bytes())
    for group in _groups([s for s in changed if s not in empty], target_bytes):
        _rewrite(store, group, kept & {id for shard in group for id in shard.episodes})
    files_removed = clean(store, grace_s)
    num_removed = sum(len(shard.episodes) for shard in shards) - len(kept)
    after = len(live_shards(store.manifests()))
    return Upkeep(len(shards), after, num_removed, files_removed)


def clean(store: Store, grace_s: float = GRACE_S) -> int:
    """Remove the files of replaced shards, and of writers that died; return how many."""
    now_s = time.time()
    manifests = {m.name: m for m in store.manifests()}
    gone = superseded(
        m for m in manifests.values() if m.replaces and now_s - m.written_s >= grace_s
    )
    removed = 0
    # the oldest first: a manifest goes only when those that it replaces have gone
    for manifest in sorted(manifests.values(), key=lambda m: m.written_s):
        is_spent = not manifest.sha256 and now_s - manifest.written_s >= grace_s
        if manifest.name not in gone and not is_spent:
            continue
        if any(name in manifests for name in manifest.replaces):
            continue
        store.files.remove(manifest_file(manifest.name))
        del manifests[manifest.name]
        if manifest.sha256:
            store.files.remove(manifest.shard)
        removed += 1
    return removed + _remove_unfinished(store, manifests, now_s)


def _remove_unfinished(store: Store, known: Iterable[str], now_s: float) -> int:
    files = {name.removesuffix(".parquet") for name in store.files.sizes("shards")}
    old = [
        file
        for name in sorted(files.difference(known))
        if store.files.age_s(file := shard_file(name), now_s) > UNFINISHED_AGE_S
    ]
    for file in old:
        store.files.remove(file)
    return len(old)


def _kept(
    store: Store, shards: Sequence[Shard], newest: int | None, younger_than_s: float | None
) -> set[str]:
    times: list[tuple[float, str]] = []
    for shard in shards:
        table = _read(store, shard.manifest, ["id", "written"])
        rows = zip(table["id"].to_pylist(), table["written"].to_pylist(), strict=True)
        times += [(at.timestamp(), id) for id, at in rows if id not in shard.repeats]
    times.sort(reverse=True)
    if younger_than_s is not None:
        oldest_s = time.time() - younger_than_s
        times = [(at_s, id) for at_s, id in times if at_s > oldest_s]
    return {id for _, id in times[:newest]}


def _groups(shards: Sequence[Shard], target_bytes: int) -> list[list[Shard]]:
    groups: list[list[Shard]] = []
    size = target_bytes
    for shard in shards:
        if size + shard.manifest.num_bytes > target_bytes:
            groups.append([])
            size = 0
        groups[-1].append(shard)
        size += shard.manifest.num_bytes
    return groups


def _rewrite(store: Store, group: Sequence[Shard], kept: set[str]) -> None:
    """Put one shard in the place of several, with some of their episodes."""
    tables = []
    for shard in group:
        table = _read(store, shard.manifest, None)
        wanted = [id in kept and id not in shard.repeats for id in shard.manifest.episodes]
        tables.append(table.filter(pa.array(wanted)))
    joined = pa.concat_tables(tables, promote_options="permissive")
    names = [shard.manifest.name for shard in group]
    manifest, content = make_shard(joined, store.schema, COMPACTED, 0, names)
    if manifest.name in names:
        return
    store.files.put(manifest.shard, content)
    store.files.put(manifest_file(manifest.name), manifest.to_bytes())


def _read(store: Store, manifest: Manifest, columns: list[str] | None) -> pa.Table:
    with store.parquet(manifest.name) as shard:
        names = columns or shard.schema_arrow.names
        groups = [
            store.read_group(shard, manifest.name, group, names)
            for group in range(shard.num_row_groups)
        ]
    return pa.concat_tables(groups) if groups else pa.table({})
