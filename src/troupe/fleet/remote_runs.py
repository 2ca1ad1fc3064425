"""Runs at URLs: written to a directory on this machine that is copied to shared storage.

Training writes files as if there were no other machine, and goes on when the storage does not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from troupe.core.errors import UserError
from troupe.episodes.file_systems import described
from troupe.fleet.mirror import COPIED, RUN_MARKERS, Mirror, State, checkpoint_of, file_states
from troupe.fleet.runs import CHECKPOINT_MARKER, check_output
from troupe.fleet.storage import Storage, is_url, local_of, shown


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
        mirror = Mirror(local, storage, replaced=file_states(local))
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
    return file_states(local)


def _needed(names: Iterable[str]) -> list[str]:
    """Return the files of a run or sweep, of each run's checkpoints the newest complete one."""
    kept = set(_newest(names).values())
    return [n for n in names if checkpoint_of(n) is None or checkpoint_of(n) in kept]


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
    here = file_states(local)
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
    return {n: s for n, s in here.items() if checkpoint_of(n) in whole and there.get(n) == s[1]}


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


def _url_of(place: str | Path) -> str | None:
    """Return the URL of a place, also by the directory in which it is written here."""
    named = str(place) if is_url(place) else shown(Path(place))
    return named if is_url(named) else None
