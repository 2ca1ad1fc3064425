"""Batches for learning, streamed from a store in an order that a seed decides.

Columns are named as in the shards: "step.<name>", "about.<name>", "draw.<name>", "image.<name>",
and "id". An item is

- an image, if an image is among the columns: with arrays of steps, those of the step that begins
  with it, which leaves out images of an episode's end;
- else a step, if an array of steps is among them;
- else an episode.

What belongs to the whole episode is repeated for each of its items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from troupe.core.errors import UserError, unknown
from troupe.episodes.store.items import (
    Batch,
    Unit,
    all_units,
    joined,
    mixed,
    num_items,
    part_of,
    read_items,
    writable,
)
from troupe.episodes.store.manifest import Shard
from troupe.episodes.store.store import Store

SHUFFLE_GROUPS = 8
"""Row groups whose items are mixed: more mix better and need more memory."""
READERS = 4
"""Row groups that are read at once; more than cores, for storage that takes its time to answer."""


def batches(
    store: Store,
    columns: Sequence[str],
    batch_size: int,
    *,
    seed: int | None = 0,
    epoch: int = 0,
    part: tuple[int, int] = (0, 1),
    drop_last: bool = False,
    shards: Sequence[Shard] | None = None,
) -> Iterator[Batch]:
    """Return batches of all items, each once; the next are read while one is used.

    Args:
        store: to read from.
        columns: see above.
        batch_size: items in a batch; the last may have fewer.
        seed: of the order: row groups are shuffled, then the items of several together. None: in
            the order of the store. The same seed and epoch give the same order as long as the
            store holds the same shards.
        epoch: another order for each.
        part: (index, count): every count-th row group, for several readers.
        drop_last: whether to leave out a last batch that is not full.
        shards: what ``store.shards()`` said; default: what it says now.

    Raises:
        UserError: if there is no such column, or the size is not positive.
        TroupeError: if a shard cannot be read.
    """
    if batch_size < 1:
        raise UserError(f"batch_size: at least 1, not {batch_size}.")
    shards = store.shards() if shards is None else shards
    check_columns(store, columns, shards)
    units = all_units(shards)
    return _batches(store, units, list(columns), batch_size, seed, epoch, part, drop_last)


def converted(source: Iterator[Batch], convert: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """Return batches with each array converted, e.g. by ``jax.device_put`` or ``torch.from_numpy``.

    Texts and JSON stay as they are.
    """
    for batch in source:
        yield {
            name: values if values.dtype.hasobject else convert(values)
            for name, values in batch.items()
        }


def _batches(
    store: Store,
    units: list[Unit],
    columns: list[str],
    batch_size: int,
    seed: int | None,
    epoch: int,
    part: tuple[int, int],
    drop_last: bool,
) -> Iterator[Batch]:
    rng = None if seed is None else np.random.Generator(np.random.Philox([seed, epoch]))
    if rng is not None:
        units = [units[i] for i in rng.permutation(len(units))]
    units = units[part[0] :: part[1]]
    num_readers = READERS if store.files.reads_at_once else 1
    readers = ThreadPoolExecutor(num_readers, "store reader")
    mixer = ThreadPoolExecutor(1, "store mixer")

    def read(unit: Unit) -> Batch:
        return read_items(store, unit, columns)

    def read_own(unit: Unit) -> Batch:
        return writable(read(unit))

    def mix(number: int, pool: list[Unit]) -> Batch:
        parts = list(readers.map(read, pool))
        places = np.random.default_rng([seed or 0, epoch, number])
        return mixed(parts, places.permutation(sum(map(num_items, parts))))

    try:
        if seed is None:
            found = _ahead(readers, num_readers, [partial(read_own, unit) for unit in units])
        else:
            starts = range(0, len(units), SHUFFLE_GROUPS)
            pools = [units[i : i + SHUFFLE_GROUPS] for i in starts]
            found = _ahead(mixer, 1, [partial(mix, *numbered) for numbered in enumerate(pools)])
        yield from _cut(found, batch_size, drop_last)
    finally:
        for executor in (mixer, readers):
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in (mixer, readers):
            executor.shutdown()


def _ahead(
    executor: ThreadPoolExecutor, number: int, tasks: Sequence[Callable[[], Batch]]
) -> Iterator[Batch]:
    """Return the tasks' results in order, a number of them done while one is used."""
    waiting: deque[Future[Batch]] = deque()
    for task in tasks:
        waiting.append(executor.submit(task))
        if len(waiting) > number:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _cut(source: Iterable[Batch], batch_size: int, drop_last: bool) -> Iterator[Batch]:
    """Return batches of one size; only the last may have fewer."""
    rest: Batch | None = None
    for found in source:
        begin = 0
        if rest is not None:
            begin = min(batch_size - num_items(rest), num_items(found))
            rest = joined([rest, part_of(found, 0, begin)])
            if num_items(rest) < batch_size:
                continue
            yield rest
        whole = begin + (num_items(found) - begin) // batch_size * batch_size
        for at in range(begin, whole, batch_size):
            yield part_of(found, at, at + batch_size)
        rest = part_of(found, whole, num_items(found)) if whole < num_items(found) else None
    if rest is not None and not drop_last:
        yield rest


def check_columns(store: Store, columns: Sequence[str], shards: Sequence[Shard]) -> None:
    """Check that a store has columns, in any of its shards.

    Raises:
        UserError: if one is not there.
        TroupeError: if a shard cannot be read.
    """
    if not columns:
        raise UserError("columns: name at least one.")
    valid = {"id", *(f"step.{n}" for n in store.schema.steps)}
    valid |= {f"image.{n}" for n in store.schema.images}
    wrong = [c for c in columns if c not in valid]
    if not wrong:
        return
    for shard in shards:
        with store.parquet(shard.manifest.name) as file:
            names = file.schema_arrow.names
        valid |= {n for n in names if n.startswith(("about.", "draw."))}
        if valid.issuperset(wrong):
            return
    raise unknown("column", next(c for c in wrong if c not in valid), valid, "columns")
