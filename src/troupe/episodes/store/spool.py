"""Shards that wait on this machine until storage has them.

Each live writer has a folder of its own, which it locks. The lock of a process that died is gone
with it, so the next writer that uses the same spool takes over what the dead one left.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from troupe.core.files import write_atomic
from troupe.episodes.store.manifest import Manifest

LOCK = "lock"


class Spool:
    """A bounded folder of shards, oldest first; used by threads of one process."""

    def __init__(self, directory: Path, url: str, limit_bytes: int) -> None:
        """Lock a new folder, and take over what dead writers to the same store left.

        Args:
            directory: shared by all writers of a machine.
            url: of the store.
            limit_bytes: how much may wait; one shard may always.
        """
        self._store = directory / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._path, self._lock = _new_folder(self._store)
        self._limit_bytes = limit_bytes
        self._waiting: list[Manifest] = []
        self._mutex = threading.Lock()
        self._take_over()

    @property
    def path(self) -> Path:
        """Where the shards wait."""
        return self._path

    def waiting(self) -> list[Manifest]:
        """Return the manifests of what waits, oldest first."""
        with self._mutex:
            return list(self._waiting)

    def has_room(self, num_bytes: int) -> bool:
        """Return whether a shard may be added."""
        with self._mutex:
            used = sum(manifest.num_bytes for manifest in self._waiting)
            return not self._waiting or used + num_bytes <= self._limit_bytes

    def add(self, manifest: Manifest, content: bytes | memoryview) -> None:
        """Keep a shard.

        Raises:
            OSError: if the disk is full.
        """
        try:
            write_atomic(self._file(manifest, "parquet"), content)
            write_atomic(self._file(manifest, "json"), manifest.to_bytes())
        except OSError:
            # the shard, too, if only its manifest had no room: nothing would count it
            for file in (*self._path.glob(f".{manifest.name}.*"), self.shard(manifest)):
                file.unlink(missing_ok=True)
            raise
        with self._mutex:
            self._waiting.append(manifest)

    def shard(self, manifest: Manifest) -> Path:
        """Return the file of a shard that waits."""
        return self._file(manifest, "parquet")

    def remove(self, manifest: Manifest) -> None:
        """Forget a shard that storage has."""
        # the manifest first: a shard without one is not taken over
        self._file(manifest, "json").unlink(missing_ok=True)
        self._file(manifest, "parquet").unlink(missing_ok=True)
        with self._mutex:
            self._waiting.remove(manifest)

    def close(self) -> None:
        """Give the folder up; what still waits is for the next writer."""
        if not self._waiting:
            _remove(self._path)
        self._lock.close()

    def _take_over(self) -> None:
        for other in sorted(self._store.iterdir()):
            if other == self._path:
                continue
            lock = _locked(other)
            if lock is None:
                continue
            with lock:
                for file in sorted(other.glob("*.json")):
                    manifest = Manifest.from_bytes(file.read_bytes())
                    self._adopt(other, manifest)
                _remove(other)
        self._waiting.sort(key=lambda m: m.written_s)

    def _adopt(self, other: Path, manifest: Manifest) -> None:
        # the manifest last: whoever dies here leaves either of them with both files
        os.link(other / f"{manifest.name}.parquet", self._file(manifest, "parquet"))
        (other / f"{manifest.name}.json").replace(self._file(manifest, "json"))
        (other / f"{manifest.name}.parquet").unlink()
        self._waiting.append(manifest)

    def _file(self, manifest: Manifest, suffix: str) -> Path:
        return self._path / f"{manifest.name}.{suffix}"


def _new_folder(parent: Path) -> tuple[Path, IO[bytes]]:
    """Return a new folder and its lock."""
    while True:
        folder = parent / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        lock = _locked(folder)
        if lock is not None:
            return folder, lock
        # another writer found it before it was locked, and took it for that of a dead one


def _locked(folder: Path) -> IO[bytes] | None:
    """Return the lock of a folder, None if a living process has it or it is gone."""
    try:
        file = (folder / LOCK).open("ab")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if not os.fstat(file.fileno()).st_nlink:  # removed since it was opened
        file.close()
        return None
    return file


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
