"""Whether a store is whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from troupe.episodes.file_systems import described
from troupe.episodes.store.manifest import Manifest, live_shards, shard_file
from troupe.episodes.store.store import Store


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        shards: that count.
        episodes: in them, each once.
        steps: in them, repeats included.
        images: in them, repeats included.
        num_bytes: of them.
        repeats: episodes that a second shard has, too; readers see one.
        wrong: why shards cannot be read, by name: missing, another checksum or other counts, a
            manifest that cannot be read.
        unfinished: shards without a manifest, of writers that died; nobody reads them.
        replaced: manifests that others replace, not removed yet.
    """

    shards: int
    episodes: int
    steps: int
    images: int
    num_bytes: int
    repeats: int
    wrong: dict[str, str]
    unfinished: tuple[str, ...]
    replaced: int


def verify(store: Store) -> Verification:
    """Read all shards that count, and compare them with their manifests.

    Raises:
        TroupeError: if the store itself cannot be read.
    """
    manifests, wrong = store.readable_manifests()
    known = {m.name for m in manifests} | wrong.keys()
    shards = live_shards(manifests)
    for shard in shards:
        reason = _wrong(store, shard.manifest)
        if reason:
            wrong[shard.manifest.name] = reason
    files = {name.removesuffix(".parquet") for name in store.files.sizes("shards")}
    return Verification(
        shards=len(shards),
        episodes=sum(len(shard.episodes) for shard in shards),
        steps=sum(shard.manifest.num_steps for shard in shards),
        images=sum(shard.manifest.num_images for shard in shards),
        num_bytes=sum(shard.manifest.num_bytes for shard in shards),
        repeats=sum(len(shard.repeats) for shard in shards),
        wrong=wrong,
        unfinished=tuple(sorted(files - known)),
        replaced=len(manifests) - len(shards),
    )


def _wrong(store: Store, manifest: Manifest) -> str:
    """Return why a shard is not what its manifest says, nothing if it is."""
    try:
        content = store.files.read(shard_file(manifest.name))
    except FileNotFoundError:
        return "missing"
    except Exception as error:  # of any kind: each file system has its own
        return described(error)
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        return f"its checksum is not {manifest.sha256[:16]}… ({len(content)} bytes)"
    ids = pq.ParquetFile(pa.BufferReader(content)).read(["id"])["id"].to_pylist()
    return "" if tuple(ids) == manifest.episodes else "its episodes are not those of its manifest"
