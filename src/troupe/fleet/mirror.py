"""Runs at a URL: written to a directory on this machine that is copied there as it grows.

Training writes files as if there were no other machine, and goes on when the storage does not.
A reader of the copy finds whole files only, and whole checkpoints: the file that completes one is
copied last and removed first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from troupe.core.errors import TroupeError, UserError
from troupe.fleet.runs import CHECKPOINT_MARKER, RunDirectory, check_output
from troupe.fleet.storage import Storage, described, is_shared, is_url, local_of, shown

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


@contextmanager
def opened(
    place: str | Path, *, resume: bool = False, force: bool = False, writes: bool = True
) -> Iterator[Path]:
    """Give the directory on this machine in which to write a run or a sweep.

    For a path that is the path itself. For a URL it is a directory of this machine's cache, copied
    to the URL while the block runs and after it, and removed once all of it is there.

    Args:
        place: path or URL.
        resume: whether to go on with the run that is there.
        force: whether a run that is there may be replaced.
        writes: whether anything will be written; if not, nothing is copied.

    Raises:
        UserError: if the URL cannot be written, has a run already or, to resume, has none.
        TroupeError: if the last files could not be copied; they stay in the directory.
    """
    url = _url_of(place)
    if url is None:
        yield Path(place)
        return
    storage, local = Storage(url), local_of(url)
    storage.check_writable()
    if resume and not writes:
        with fetched(place) as copy:
            yield copy
        return
    if not resume:
        _check_replaceable(storage, local, force=force)
        if not writes:
            yield local
            return
        mirror = Mirror(local, storage, replaced=_states(local))
    else:
        known = _left_over(local, storage)
        mirror = Mirror(local, storage, known=_fetch(storage, local) if known is None else known)
    with mirror:
        yield local
    shutil.rmtree(local, ignore_errors=True)


@contextmanager
def fetched(place: str | Path) -> Iterator[Path]:
    """Give a directory on this machine with what is at a path or URL, to read.

    Raises:
        UserError: if there is nothing at a URL.
    """
    url = _url_of(place)
    if url is None:
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="troupe-") as folder:
        local = Path(folder) / local_of(url).name
        _fetch(Storage(url), local)
        yield local


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
            if self._has_begun(_states(self._local)):
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
        here = _states(self._local)
        if not self._has_begun(here):
            return
        there = self._list()
        changed = [name for name, state in here.items() if _has_changed(name, state, there)]
        for name in _withdrawn(changed, there):
            self._storage.remove(name)
            del there[name]
        for name in sorted(changed, key=_rank):
            if self._put(name):
                there[name] = here[name]
        for name in sorted(set(there) - set(here), key=_rank, reverse=True):
            self._storage.remove(name)
            del there[name]

    def _put(self, name: str) -> bool:
        """Copy a file, and return whether it was still there."""
        file = frozen = self._local / name
        try:
            if _checkpoint_of(name) is None:  # it may grow meanwhile
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


def _fetch(storage: Storage, local: Path) -> dict[str, State]:
    """Copy what is in storage, of checkpoints the newest complete ones, and return the states.

    A run that is still being written may remove files meanwhile, so that takes more than one try.

    Raises:
        UserError: if there is nothing, or it cannot be read.
    """
    for is_last in (False, False, True):
        shutil.rmtree(local, ignore_errors=True)
        try:
            names = list(storage.files())
            if not names:
                raise UserError(f"there is no run at '{storage.url}'.")
            for name in _needed(names):
                storage.get(name, local / name)
        except UserError:
            raise
        except FileNotFoundError as error:
            if is_last:
                raise UserError(f"'{storage.url}' cannot be read: {described(error)}") from error
        except Exception as error:  # of any kind: each file system has its own
            raise UserError(f"'{storage.url}' cannot be read: {described(error)}") from error
        else:
            break
    return _states(local)


def _needed(names: Iterable[str]) -> list[str]:
    """Return the files of a run or sweep, of each run's checkpoints the newest complete one."""
    kept = set(_newest(names).values())
    return [n for n in names if _checkpoint_of(n) is None or _checkpoint_of(n) in kept]


def _newest(names: Iterable[str]) -> dict[str, str]:
    """Return the newest complete checkpoint of each run, by the directory of its checkpoints."""
    markers = sorted(name for name in names if name.rpartition("/")[2] == CHECKPOINT_MARKER)
    checkpoints = [marker.rpartition("/")[0] for marker in markers]
    return {checkpoint.rpartition("/")[0]: checkpoint for checkpoint in checkpoints}


def _left_over(local: Path, storage: Storage) -> dict[str, State] | None:
    """Return the state of what a directory has in common with storage, if it has more.

    There is such a directory only if the last run on this machine was killed or could not copy its
    last files.

    Raises:
        UserError: if it has another run than the storage.
    """
    here = _states(local)
    identity = next((n for n in ("provenance.json", "sweep.yaml") if n in here), None)
    if identity is None or (local / COPIED).exists():
        return None
    try:
        there = storage.files()
        same = identity not in there or storage.read(identity) == (local / identity).read_bytes()
    except Exception as error:  # of any kind: each file system has its own
        raise UserError(f"'{storage.url}' cannot be read: {described(error)}") from error
    if not same:
        raise UserError(
            f"'{local}' has a run that was to be copied to '{storage.url}', where there is another "
            "one by now; move it elsewhere, or remove it."
        )
    newest_here, newest_there = _newest(here), _newest(there)
    summaries = {name for name in there if name.rpartition("/")[2] == "summary.json"}
    if summaries - set(here) or any(
        newest_here.get(run, "") < checkpoint for run, checkpoint in newest_there.items()
    ):
        return None
    whole = set(newest_there.values())  # it need not be copied again
    return {n: s for n, s in here.items() if _checkpoint_of(n) in whole and there.get(n) == s[1]}


def _check_replaceable(storage: Storage, local: Path, *, force: bool) -> None:
    """Check that what is in storage, or waits here to be copied there, may be replaced."""
    if (local / COPIED).exists():
        shutil.rmtree(local)
    check_output(local, force=force)
    names = storage.files()
    if names and not force:
        raise UserError(
            f"output '{storage.url}' exists; choose another --out, or --force to replace it."
        )
    if names and not any(marker in names for marker in RUN_MARKERS):
        raise UserError(
            f"output '{storage.url}' exists without config.yaml, so --force won't replace it."
        )


def _has_changed(name: str, here: State, there: Mapping[str, State | None]) -> bool:
    """Return whether to copy a file."""
    before = there.get(name)
    if before is not None and before != here and name.endswith(JOURNAL):
        return here[1] > JOURNAL_GROWTH * before[1]
    return before != here


def _withdrawn(changed: list[str], there: Mapping[str, State | None]) -> list[str]:
    """Return the files that complete checkpoints of which others are to be written anew."""
    checkpoints = {_checkpoint_of(name) for name in changed} - {None}
    markers = (f"{checkpoint}/{CHECKPOINT_MARKER}" for checkpoint in checkpoints)
    return [marker for marker in markers if marker in there]


def _rank(name: str) -> int:
    """Return when to copy a file: what tells of a state after what makes it up."""
    base = name.rpartition("/")[2]
    if base in (*RUN_MARKERS, "provenance.json"):
        return 0
    if _checkpoint_of(name) is not None:
        return 3 if base == CHECKPOINT_MARKER else 2
    return 4 if base in ("summary.json", "evaluation.json") else 1


def _checkpoint_of(name: str) -> str | None:
    """Return the directory of the checkpoint to which a file belongs."""
    parts = name.split("/")
    return "/".join(parts[:-1]) if "checkpoints" in parts[-3:-2] else None


def _states(local: Path) -> dict[str, State]:
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


def _url_of(place: str | Path) -> str | None:
    """Return the URL of a place, also by the directory in which it is written here."""
    named = str(place) if is_url(place) else shown(Path(place))
    return named if is_url(named) else None
