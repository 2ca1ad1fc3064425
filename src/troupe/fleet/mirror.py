"""A directory on this machine, copied to shared storage as it grows.

A reader of the copy finds whole files only, and whole checkpoints: the file that completes one is
copied last and removed first.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from troupe.core.errors import TroupeError
from troupe.episodes.file_systems import described
from troupe.fleet.runs import CHECKPOINT_MARKER, RunDirectory
from troupe.fleet.storage import Storage, is_shared

UPLOAD_EVERY_S = 5.0
LONGEST_PAUSE_S = 60.0
LAST_UPLOAD_WITHIN_S = 60.0
"""For how long the end of a run waits for storage that does not answer."""

JOURNAL = ".journal"
JOURNAL_GROWTH = 1.25
"""By how much the journal has grown when it is copied again, since all of it has to be copied."""

COPIED = ".copied"
"""A file that says of a directory that all of it has been copied."""

RUN_MARKERS = ("config.yaml", "sweep.yaml")

State = tuple[int, int, int]
"""By which to know that a file has changed: inode, size, time."""


class Mirror:
    """Copies a directory to storage whenever files in it have changed.

    While the storage does not answer it tries again, less and less often, and says so in the run's
    log.
    """

    def __init__(
        self,
        local: Path,
        storage: Storage,
        *,
        known: Mapping[str, State] | None = None,
        replaced: Mapping[str, State] | None = None,
    ) -> None:
        """Copy nothing yet.

        Args:
            local: the directory.
            storage: where to.
            known: files that are in storage already as they are in the directory.
            replaced: files of the directory before a new run; all that is in storage goes when the
                new run has begun.
        """
        self._local = local
        self._storage = storage
        self._known = known or {}
        self._replaced = replaced
        self._there: dict[str, State | None] | None = None
        self._is_over = threading.Event()
        self._away_since: float | None = None
        self._thread = threading.Thread(target=self._keep_up, name="mirror", daemon=True)

    def __enter__(self) -> Mirror:
        """Begin to copy."""
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Copy what has changed since, also after an error."""
        failure = self._finish()
        if failure is None:
            if self._has_begun(file_states(self._local)):
                (self._local / COPIED).touch()
            return
        message = (
            f"'{self._storage.url}' cannot be written: {described(failure)}. All of the run is in "
            f"'{self._local}'; `troupe train --resume {self._storage.url}` here goes on from that."
        )
        if error is None:
            raise TroupeError(message) from failure
        if isinstance(error, TroupeError):
            raise type(error)(f"{error} {message}") from failure
        error.add_note(message)

    def copy(self) -> None:
        """Copy the files that have changed, and remove those that have been removed here."""
        here = file_states(self._local)
        if not self._has_begun(here):
            return
        there = self._list()
        changed = [name for name, state in here.items() if _has_changed(name, state, there)]
        for name in _withdrawn(changed, there):
            self._storage.remove(name)
            del there[name]
        gone = set()
        for name in sorted(changed, key=_rank):
            checkpoint = checkpoint_of(name)
            if checkpoint in gone:
                continue
            if self._put(name):
                there[name] = here[name]
            elif checkpoint is not None:  # an old one, removed meanwhile: without its marker, then
                gone.add(checkpoint)
        for name in sorted(set(there) - set(here), key=_rank, reverse=True):
            self._storage.remove(name)
            del there[name]

    def _put(self, name: str) -> bool:
        """Copy a file, and return whether it was still there."""
        file = frozen = self._local / name
        try:
            if checkpoint_of(name) is None:  # it may grow meanwhile
                frozen = Path(shutil.copyfile(file, self._local / ".copied.part"))
            self._storage.put(frozen, name)
        except FileNotFoundError:
            if file.exists():
                raise
            return False
        return True

    def _has_begun(self, here: Mapping[str, State]) -> bool:
        """Return whether there is a run; before, what is in storage stays."""
        before = self._replaced or {}
        return any(n in here and here[n] != before.get(n) for n in RUN_MARKERS)

    def _list(self) -> dict[str, State | None]:
        """Return what is there, by name; at first remove what is to be replaced."""
        if self._there is None:
            names = self._storage.files()
            if self._replaced is not None:
                for name in sorted(names, key=_rank, reverse=True):
                    self._storage.remove(name)
                names = {}
            self._there = {name: self._known.get(name) for name in names}
        return self._there

    def _finish(self) -> Exception | None:
        """Copy what has changed, trying again for a while, and return what went wrong."""
        deadline, pause_s = time.monotonic() + LAST_UPLOAD_WITHIN_S, 0.5
        self._is_over.set()
        self._thread.join(LAST_UPLOAD_WITHIN_S)
        if self._thread.is_alive():
            return TimeoutError(f"no answer for {LAST_UPLOAD_WITHIN_S:g} s")
        while (failure := self._try_once()) and time.monotonic() + pause_s < deadline:
            time.sleep(pause_s)
            pause_s *= 2
        return failure

    def _keep_up(self) -> None:
        pause_s = UPLOAD_EVERY_S
        while not self._is_over.wait(pause_s):
            failed = self._try_once() is not None
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if failed else UPLOAD_EVERY_S

    def _try_once(self) -> Exception | None:
        """Copy what has changed, and return what went wrong."""
        try:
            self.copy()
        except Exception as error:  # of any kind: each file system has its own
            if self._away_since is None:
                self._away_since = time.monotonic()
                self._log(
                    f"{self._storage.url} cannot be written, trying again: {described(error)}"
                )
            return error
        if self._away_since is not None:
            away_s = time.monotonic() - self._away_since
            self._away_since = None
            self._log(f"{self._storage.url} can be written again, after {away_s:.0f} s")
            return self._try_once()  # the log too
        return None

    def _log(self, line: str) -> None:
        if (self._local / "run.log").is_file():
            RunDirectory(self._local).log(line)


def _has_changed(name: str, here: State, there: Mapping[str, State | None]) -> bool:
    """Return whether to copy a file."""
    before = there.get(name)
    if before is not None and before != here and name.endswith(JOURNAL):
        return here[1] > JOURNAL_GROWTH * before[1]
    return before != here


def _withdrawn(changed: list[str], there: Mapping[str, State | None]) -> list[str]:
    """Return the files that complete checkpoints of which others are to be written anew."""
    checkpoints = {checkpoint_of(name) for name in changed} - {None}
    markers = (f"{checkpoint}/{CHECKPOINT_MARKER}" for checkpoint in checkpoints)
    return [marker for marker in markers if marker in there]


def _rank(name: str) -> int:
    """Return when to copy a file: what tells of a state after what makes it up."""
    base = name.rpartition("/")[2]
    if base in (*RUN_MARKERS, "provenance.json"):
        return 0
    if checkpoint_of(name) is not None:
        return 3 if base == CHECKPOINT_MARKER else 2
    return 4 if base in ("summary.json", "evaluation.json") else 1


def checkpoint_of(name: str) -> str | None:
    """Return the directory of the checkpoint to which a file belongs."""
    parts = name.split("/")
    return "/".join(parts[:-1]) if "checkpoints" in parts[-3:-2] else None


def file_states(local: Path) -> dict[str, State]:
    """Return all files that are for others, as they are now."""
    states = {}
    for folder, _, files in os.walk(local):
        for file in files:
            path = Path(folder) / file
            name = str(path.relative_to(local))
            if is_shared(name):
                with suppress(FileNotFoundError):  # removed meanwhile
                    about = path.stat()
                    states[name] = (about.st_ino, about.st_size, about.st_mtime_ns)
    return states
