"""Writers: threads make shards of episodes, which wait in a spool until the store has them."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from troupe.core.errors import TroupeError, UserError
from troupe.episodes.file_systems import described
from troupe.episodes.store.encoders import Encoders
from troupe.episodes.store.manifest import COMPACTED, Manifest, manifest_file, shard_file
from troupe.episodes.store.record import EpisodeRecord
from troupe.episodes.store.shard import make_shard
from troupe.episodes.store.spool import Spool
from troupe.episodes.store.store import Store
from troupe.episodes.store.table import Encoded, encode_images, to_table

WRITER_ID = re.compile(r"[A-Za-z0-9_-]+")
SHARD_EPISODES = 256
SHARD_BYTES = 64 * 2**20
SPOOL_BYTES = 2**30
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
ENDS_WITHIN_S = 1.0
"""A thread that storage does not hold up; the others end with the process."""


class NotAcknowledgedError(TroupeError):
    """The store has not answered in time; what was added waits on this machine."""


class StoreWriter:
    """Adds episodes to a store, each once, however often its process is killed and begins again.

    When `flush` or `close` has returned, all episodes added before are in the store. While the
    store does not answer, shards wait on this machine's disk; when too many wait, `add` does, too.
    What a killed process left there is taken over by the next writer to the same store.
    """

    def __init__(
        self,
        store: Store,
        writer_id: str,
        *,
        shard_episodes: int = SHARD_EPISODES,
        shard_bytes: int = SHARD_BYTES,
        spool: Path | None = None,
        spool_bytes: int = SPOOL_BYTES,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Read what this writer has written before.

        Args:
            store: to write to.
            writer_id: the same when a killed writer begins again; unique among those that live.
            shard_episodes: that make a shard.
            shard_bytes: that make a shard, before compression of the steps.
            spool: folder on this machine; one in the user's cache by default.
            spool_bytes: how much may wait there.
            report: is told, in a line each, when the store goes away and is back.

        Raises:
            UserError: if the writer's id is not made of letters, digits, "-" and "_".
            TroupeError: if the store or the spool cannot be read.
        """
        if not WRITER_ID.fullmatch(writer_id) or writer_id == COMPACTED:
            raise UserError(
                f"writer '{writer_id}': use letters, digits, '-' and '_', and not '{COMPACTED}'."
            )
        self._store = store
        self._writer_id = writer_id
        self._shard_episodes, self._shard_bytes = shard_episodes, shard_bytes
        self._report = report or (lambda line: None)
        self._records: list[EpisodeRecord] = []
        self._images: list[Encoded] = []
        self._num_bytes = 0
        known = [m for m in store.manifests() if m.writer in (writer_id, COMPACTED)]
        try:
            self._spool = Spool(spool or _default_spool(), store.url, spool_bytes)
        except OSError as error:
            raise TroupeError(f"spool '{spool}' cannot be used: {described(error)}.") from error
        known += self._spool.waiting()
        self._known = {id for manifest in known for id in manifest.episodes}
        own = [manifest.sequence for manifest in known if manifest.writer == writer_id]
        self._sequence = max(own, default=-1) + 1
        self._changed = threading.Condition()
        self._is_over = False
        self._encoders = Encoders(self._changed, self._encode)
        self._away_since: float | None = None
        self._thread = threading.Thread(target=self._upload, name="store writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> StoreWriter:
        """Write in a block that ends in `close`."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close; after an error without waiting for storage that does not answer."""
        try:
            self.close(timeout_s=None if error is None else 0.0)
        except TroupeError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    @property
    def known(self) -> frozenset[str]:
        """Ids of episodes that `add` leaves out, those that a killed writer left here included."""
        return frozenset(self._known)

    def add(self, record: EpisodeRecord) -> bool:
        """Add an episode; return whether it is new, since repeats are left out.

        Waits while two shards are being made, as they are while the spool is full.

        Raises:
            UserError: if the episode does not fit the store's schema.
        """
        if record.id in self._known:
            return False
        self._store.schema.check(record)
        images = encode_images(record, self._store.schema)
        self._known.add(record.id)
        self._records.append(replace(record, images={}))  # encoded they are much smaller
        self._images.append(images)
        self._num_bytes += sum(values.nbytes for values in record.steps.values())
        self._num_bytes += sum(len(image) for of_one in images.values() for image in of_one)
        if len(self._records) >= self._shard_episodes or self._num_bytes >= self._shard_bytes:
            self._make_shard()
        return True

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until the store has all that was added; this acknowledges it.

        Raises:
            NotAcknowledgedError: if that takes longer than asked; what waits stays in the spool.
            UserError: if episodes have values of one name of different kinds.
        """
        began_s = time.monotonic()
        self._encoders.settle()
        self._make_shard(timeout_s)
        self._encoders.settle()
        left_s = None if timeout_s is None else timeout_s - (time.monotonic() - began_s)
        with self._changed:
            if not self._changed.wait_for(self._has_none_left, left_s):
                raise self._not_answered()

    def close(self, timeout_s: float | None = None) -> None:
        """Flush and end; what still waits after an error is for the next writer.

        A thread that storage holds up beyond the time asked is left behind.

        Raises:
            NotAcknowledgedError: as `flush` does.
        """
        if self._is_over:
            return
        try:
            self.flush(timeout_s)
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
            ends_within_s = None if timeout_s is None else ENDS_WITHIN_S
            self._encoders.close(ends_within_s)
            self._thread.join(ends_within_s)
            self._spool.close()

    def _make_shard(self, timeout_s: float | None = None) -> None:
        """Have a shard made of what was added, if it was."""
        if not self._records:
            return
        try:
            table = to_table(self._records, self._images, self._store.schema)
        except UserError:
            self._known -= {record.id for record in self._records}
            self._records, self._images, self._num_bytes = [], [], 0
            raise
        if not self._encoders.give(table, self._sequence, timeout_s):
            raise self._not_answered()
        self._sequence += 1
        self._records, self._images, self._num_bytes = [], [], 0

    def _encode(self, table: pa.Table, sequence: int) -> None:
        """Put a table's shard into the spool as soon as there is room.

        In order, so that a writer that is killed leaves no gap: who begins again after the last
        episode that is there would not fill it. For the same reason one that is given up, at the
        end, is an error: none may come after it.
        """
        manifest, content = make_shard(table, self._store.schema, self._writer_id, sequence)
        if not self._encoders.wait_for_turn(sequence):
            return
        if self._is_over or not self._spool.has_room(len(content)):
            self._wait(lambda: self._spool.has_room(len(content)))
        self._keep(manifest, content)

    def _keep(self, manifest: Manifest, content: memoryview) -> None:
        """Put a shard into the spool; of a full disk, bring it to the store at once."""
        pause_s, is_told = FIRST_PAUSE_S, False
        while True:
            try:
                self._spool.add(manifest, content)
            except OSError as error:
                if not is_told:
                    self._report(f"spool '{self._spool.path}' is full: {described(error)}")
                    is_told = True
            else:
                return
            waiting = self._spool.waiting()
            if not waiting and self._is_put(manifest, content):  # it overtakes none
                return
            self._wait(partial(self._is_other, waiting), pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _is_other(self, waiting: list[Manifest]) -> bool:
        return self._spool.waiting() != waiting

    def _is_put(self, manifest: Manifest, content: memoryview) -> bool:
        """Return whether the store has taken a shard."""
        with self._encoders.stuck():
            try:
                self._put(manifest, content)
            except Exception:  # of any kind: each file system has its own
                return False
            return True

    def _wait(self, condition: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait in an encoder for what is outside this process.

        Raises:
            NotAcknowledgedError: if this writer is over.
        """
        with self._encoders.stuck(), self._changed:
            self._changed.wait_for(lambda: self._is_over or condition(), timeout_s)
            if self._is_over:
                raise self._not_answered()

    def _has_none_left(self) -> bool:
        self._encoders.check()
        return not self._encoders.num_episodes and not self._spool.waiting()

    def _not_answered(self) -> NotAcknowledgedError:
        lost = self._encoders.num_episodes + len(self._records)
        return NotAcknowledgedError(
            f"store '{self._store.url}' has not answered; {len(self._spool.waiting())} shards wait "
            f"in '{self._spool.path}' for the next writer on this machine"
            + (f", which has no room for {lost} more episodes." if lost else ".")
        )

    def _put(self, manifest: Manifest, content: memoryview | Path) -> None:
        if isinstance(content, Path):
            self._store.files.put_file(shard_file(manifest.name), content)
        else:
            self._store.files.put(shard_file(manifest.name), content)
        self._store.files.put(manifest_file(manifest.name), manifest.to_bytes())

    def _upload(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over or self._spool.waiting())
                if self._is_over:
                    return
            manifest = self._spool.waiting()[0]
            try:
                self._put(manifest, self._spool.shard(manifest))
            except Exception as error:  # of any kind: each file system has its own
                self._tell_away(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_over, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._tell_back()
            self._forget(manifest)

    def _forget(self, manifest: Manifest) -> None:
        with self._changed:
            if not self._is_over:  # else the next writer may be taking it over
                self._spool.remove(manifest)
                self._changed.notify_all()

    def _tell_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._report(
                f"store '{self._store.url}' cannot be written, shards wait in "
                f"'{self._spool.path}': {described(error)}"
            )

    def _tell_back(self) -> None:
        if self._away_since is not None:
            away_s = time.monotonic() - self._away_since
            self._away_since = None
            self._report(f"store '{self._store.url}' can be written again, after {away_s:.0f} s")


def _default_spool() -> Path:
    home: Any = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "troupe" / "spool"
