"""Batches for PyTorch, which Troupe itself does not need: only this module imports it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from troupe.core.errors import UserError
from troupe.episodes.store.loader import batches, converted
from troupe.episodes.store.store import Store


class EpisodeDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc] # without PyTorch
    """Batches of what a store holds, as tensors, for a ``DataLoader`` with ``batch_size=None``.

    The loader's workers share the store's row groups: each item comes once, in an order that
    follows from the seed, the epoch and the number of workers. Workers open the store by
    themselves, with credentials from the environment. They cannot be forked from a process that
    has threads, as this one has after reading from a store::

        loader = DataLoader(
            dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn"
        )
    """

    def __init__(
        self,
        store: Store,
        columns: Sequence[str],
        batch_size: int,
        *,
        seed: int = 0,
        part: tuple[int, int] = (0, 1),
        drop_last: bool = False,
    ) -> None:
        """Take the episodes that are there now; those that are added later do not count.

        Args:
            store: to read from.
            columns: as `loader` names them; texts stay numpy arrays of objects.
            batch_size: items in a batch; a worker's last may have fewer.
            seed: of the order.
            part: (index, count) of this process, where several learn together.
            drop_last: whether to leave out batches that are not full.

        Raises:
            UserError: if there is no such column, or a number is not valid.
        """
        super().__init__()
        index, count = part
        if not 0 <= index < count:
            raise UserError(f"part: {part}; valid: (index, count) with index from 0 to count - 1.")
        shards = store.shards()
        batches(store, columns, batch_size, shards=shards)  # which checks them
        self._store = Store(store.files, store.schema)
        self._columns, self._batch_size = list(columns), batch_size
        self._seed, self._part, self._drop_last = seed, part, drop_last
        # shared, so that workers that persist learn of it
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        # shared, since it holds the id of every episode: workers would get a copy each, and one
        # that dies while it is sent more than a pipe takes lets its parent wait for ever
        content = bytearray(pickle.dumps(shards))
        self._shards = torch.frombuffer(content, dtype=torch.uint8).share_memory_()
        self._process = os.getpid()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is, before it begins: each has an order of its own."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return this worker's batches of the epoch.

        Raises:
            UserError: in a worker that was forked.
            TroupeError: if a shard cannot be read.
        """
        index, count = self._part
        worker = get_worker_info()
        if worker is not None:
            if self._process != os.getpid():
                raise UserError(
                    "workers that are forked may hang: give the DataLoader "
                    'multiprocessing_context="spawn".'
                )
            index, count = index + count * worker.id, count * worker.num_workers
        found = batches(
            self._store,
            self._columns,
            self._batch_size,
            seed=self._seed,
            epoch=int(self._epoch),
            part=(index, count),
            drop_last=self._drop_last,
            shards=pickle.loads(self._shards.numpy().tobytes()),
        )
        return converted(found, torch.from_numpy)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin in a worker."""
        self.__dict__.update(state)
        self._process = os.getpid()
