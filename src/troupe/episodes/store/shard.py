"""Shards: tables of whole episodes as Parquet files, and their manifests."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from troupe.episodes.store.manifest import Manifest
from troupe.episodes.store.schema import StoreSchema

COMPRESSION = "zstd"
ROW_GROUP_BYTES = 4 * 2**20
"""Of which a reader fetches at least one, so that a single episode does not cost a whole shard."""


def make_shard(
    table: pa.Table, schema: StoreSchema, writer: str, sequence: int, replaces: Sequence[str] = ()
) -> tuple[Manifest, memoryview]:
    """Return the manifest and the content of a shard.

    Args:
        table: of episodes, see `table`.
        schema: of the store.
        writer: who writes it.
        sequence: which of the writer's it is.
        replaces: names of manifests that it takes the place of.
    """
    sink = pa.BufferOutputStream()
    rows = max(1, min(len(table), len(table) * ROW_GROUP_BYTES // max(1, table.nbytes)))
    # statistics and dictionaries of images and steps would cost time and serve nobody
    plain = [name for name in table.column_names if name.startswith(("about.", "draw.", "id"))]
    pq.write_table(
        table,
        sink,
        compression=COMPRESSION,
        row_group_size=rows,
        use_dictionary=plain,
        write_statistics=plain,
        write_page_checksum=True,
        store_schema=True,
    )
    content = memoryview(sink.getvalue())
    digest = hashlib.sha256(content).hexdigest()
    manifest = Manifest(
        name=f"{writer}.{sequence:08d}.{digest[:16]}",
        sha256=digest,
        num_bytes=len(content),
        episodes=tuple(table["id"].to_pylist()),
        groups=tuple(min(rows, len(table) - first) for first in range(0, len(table), rows)),
        num_steps=_elements(table, next((f"step.{name}" for name in schema.steps), None)),
        num_images=sum(_elements(table, f"image.{name}") for name in schema.images),
        schema=schema.digest,
        written_s=time.time(),
        ranges=_ranges(table),
        replaces=tuple(replaces),
    )
    return manifest, content


def make_removal(schema: StoreSchema, replaces: Sequence[str]) -> Manifest:
    """Return a manifest without a shard, that takes others away."""
    digest = hashlib.sha256("\n".join(replaces).encode()).hexdigest()
    name = f"compacted.{0:08d}.{digest[:16]}"
    return Manifest(name, "", 0, (), (), 0, 0, schema.digest, time.time(), {}, tuple(replaces))


def _elements(table: pa.Table, column: str | None) -> int:
    return 0 if column is None else int(pc.sum(pc.list_value_length(table[column])).as_py() or 0)


def _ranges(table: pa.Table) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        if name.startswith("about.") and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            found = pc.min_max(table[name]).as_py()
            if found["min"] is not None:
                ranges[name.removeprefix("about.")] = (float(found["min"]), float(found["max"]))
    return ranges
