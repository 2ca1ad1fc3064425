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

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from troupe.core.errors import UserError, unknown
from troupe.episodes.store.manifest import Shard
from troupe.episodes.store.store import Store
from troupe.episodes.store.table import decoded, flat_values

if TYPE_CHECKING:
    from troupe.episodes.store.torch_data import EpisodeDataset

Batch = dict[str, npt.NDArray[Any]]
Unit = tuple[Shard, int, int]
"""A shard, one of its row groups, and the group's first row."""

SHUFFLE_GROUPS = 8
"""Row groups whose items are mixed: more mix better and need more memory."""


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
    check_columns(store, columns)
    read = store.shards() if shards is None else shards
    return _batches(store, list(columns), batch_size, seed, epoch, part, drop_last, read)


def converted(source: Iterator[Batch], convert: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """Return batches with each array converted, e.g. by ``jax.device_put`` or ``torch.from_numpy``.

    Texts and JSON stay as they are.
    """
    for batch in source:
        yield {
            name: values if values.dtype.hasobject else convert(values)
            for name, values in batch.items()
        }


def torch_dataset(
    store: Store,
    columns: Sequence[str],
    batch_size: int,
    *,
    seed: int = 0,
    part: tuple[int, int] = (0, 1),
    drop_last: bool = False,
) -> EpisodeDataset:
    """Return a dataset of PyTorch; see `EpisodeDataset`.

    Raises:
        UserError: if PyTorch is not installed, or anything is wrong with what was given.
    """
    try:
        from troupe.episodes.store.torch_data import EpisodeDataset
    except ImportError as error:
        raise UserError("PyTorch is not installed: pip install torch.") from error
    return EpisodeDataset(store, columns, batch_size, seed=seed, part=part, drop_last=drop_last)


def _batches(
    store: Store,
    columns: list[str],
    batch_size: int,
    seed: int | None,
    epoch: int,
    part: tuple[int, int],
    drop_last: bool,
    shards: Sequence[Shard],
) -> Iterator[Batch]:
    units = _units(shards)
    rng = None if seed is None else np.random.Generator(np.random.Philox([seed, epoch]))
    if rng is not None:
        units = [units[i] for i in rng.permutation(len(units))]
    units = units[part[0] :: part[1]]
    size = 1 if rng is None else SHUFFLE_GROUPS
    pools = [units[i : i + size] for i in range(0, len(units), size)]

    def read(number: int, pool: list[Unit]) -> Batch:
        found = _joined([_items(store, unit, columns) for unit in pool])
        if seed is None:  # a copy where it is a view of Arrow's memory, which nobody may write to
            return {name: np.require(values, requirements="W") for name, values in found.items()}
        order = np.random.default_rng([seed, epoch, number]).permutation(_length(found))
        return {name: np.take(values, order, axis=0) for name, values in found.items()}

    rest: Batch | None = None
    for found in _ahead(pools, read):
        begin = 0
        if rest is not None:
            begin = min(batch_size - _length(rest), _length(found))
            rest = _joined([rest, _part(found, 0, begin)])
            if _length(rest) < batch_size:
                continue
            yield rest
        whole = begin + (_length(found) - begin) // batch_size * batch_size
        for at in range(begin, whole, batch_size):
            yield _part(found, at, at + batch_size)
        rest = _part(found, whole, _length(found)) if whole < _length(found) else None
    if rest is not None and not drop_last:
        yield rest


def _part(batch: Batch, begin: int, end: int) -> Batch:
    return {name: values[begin:end] for name, values in batch.items()}


def _ahead(pools: list[list[Unit]], read: Callable[[int, list[Unit]], Batch]) -> Iterator[Batch]:
    """Return what is read of each pool, the next one read while one is used."""
    with ThreadPoolExecutor(1, "store reader") as executor:
        following: Future[Batch] | None = None
        for i in range(len(pools)):
            current = following or executor.submit(read, i, pools[i])
            is_last = i + 1 == len(pools)
            following = None if is_last else executor.submit(read, i + 1, pools[i + 1])
            yield current.result()


def _units(shards: Sequence[Shard]) -> list[Unit]:
    units = []
    for shard in shards:
        first = 0
        for group, num_rows in enumerate(shard.manifest.groups):
            units.append((shard, group, first))
            first += num_rows
    return units


def _items(store: Store, unit: Unit, columns: list[str]) -> Batch:
    shard, group, first = unit
    name = shard.manifest.name
    frames = [c.replace("image.", "frame.", 1) for c in columns if c.startswith("image.")]
    with store.parquet(name) as file:
        there = set(file.schema_arrow.names)
        wanted = list(dict.fromkeys(c for c in [*columns, *frames] if c in there)) or ["id"]
        table = store.read_group(file, name, group, wanted)
    ids = shard.manifest.episodes[first : first + len(table)]
    if not shard.repeats.isdisjoint(ids):
        table = table.filter(pa.array([id not in shard.repeats for id in ids]))
    return _of_frames(store, table, columns, frames) if frames else _of_steps(store, table, columns)


def _of_steps(store: Store, table: pa.Table, columns: list[str]) -> Batch:
    steps = [c for c in columns if c.startswith("step.")]
    lengths = pc.list_value_length(table[steps[0]]).to_numpy() if steps else None
    batch = {}
    for column in columns:
        if column.startswith("step."):
            shape = store.schema.steps[column.removeprefix("step.")].shape
            batch[column] = flat_values(table[column], shape)
        else:
            values = _values(table, column)
            batch[column] = values if lengths is None else np.repeat(values, lengths, axis=0)
    return batch


def _of_frames(store: Store, table: pa.Table, columns: list[str], frames: list[str]) -> Batch:
    lengths = pc.list_value_length(table[frames[0]]).to_numpy()
    shown = flat_values(table[frames[0]], ())
    for other in frames[1:]:
        if not np.array_equal(flat_values(table[other], ()), shown):
            names = ", ".join(frame.removeprefix("frame.") for frame in frames)
            raise UserError(f"images {names} show different steps: read them one by one.")
    steps = [c for c in columns if c.startswith("step.")]
    kept = np.arange(len(shown))
    if steps:
        num_steps = pc.list_value_length(table[steps[0]]).to_numpy()
        kept = np.flatnonzero(shown < np.repeat(num_steps, lengths))
        shown = (shown + np.repeat(np.cumsum([0, *num_steps[:-1]]), lengths))[kept]
    batch = {}
    for column in columns:
        kind, _, name = column.partition(".")
        if kind == "image":
            contents = table[column].combine_chunks().flatten().take(pa.array(kept))
            batch[column] = decoded(contents, store.schema.images[name])
        elif kind == "step":
            batch[column] = flat_values(table[column], store.schema.steps[name].shape)[shown]
        else:
            batch[column] = np.repeat(_values(table, column), lengths, axis=0)[kept]
    return batch


def _values(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """Return a column of whole episodes; numbers that are missing are NaN, texts None."""
    if column not in table.column_names:
        return np.full(len(table), np.nan)
    values = table[column]
    if pa.types.is_list(values.type):
        rows = values.to_pylist()
        sizes = {len(row) for row in rows if row is not None}
        if len(sizes) == 1 and None not in rows:
            return np.asarray(rows, np.float64)
        ragged = np.empty(len(rows), object)
        ragged[:] = [None if row is None else np.asarray(row) for row in rows]
        return ragged
    return np.asarray(values.to_numpy())


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def check_columns(store: Store, columns: Sequence[str]) -> None:
    """Check that a store has columns.

    Raises:
        UserError: if one is not there.
    """
    if not columns:
        raise UserError("columns: name at least one.")
    valid = {"id", *(f"step.{n}" for n in store.schema.steps)}
    valid |= {f"image.{n}" for n in store.schema.images}
    wrong = [c for c in columns if c not in valid]
    if not wrong:
        return
    for shard in store.shards():
        with store.parquet(shard.manifest.name) as file:
            names = file.schema_arrow.names
        valid |= {n for n in names if n.startswith(("about.", "draw."))}
        if valid.issuperset(wrong):
            return
    raise unknown("column", next(c for c in wrong if c not in valid), valid, "columns")
