"""Directories in shared storage: any file system that fsspec knows, by URL."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from troupe.core.errors import UserError
from troupe.episodes.file_systems import (
    OBJECT_STORES,
    URL,
    described,
    find_file_system,
    shown_url,
)

NO_HOST = "_"
"""In the names of directories of this machine, for URLs that have no host or bucket."""


def is_url(place: str | Path) -> bool:
    """Return whether a place is the URL of a directory, rather than a path on this machine."""
    return isinstance(place, str) and URL.match(place) is not None


class Storage:
    """A directory at a URL.

    Attributes:
        url: of the directory, as it may be shown: without a password.

    What goes wrong in it is raised as the file system raises it, since each has errors of its own.
    """

    def __init__(self, url: str) -> None:
        """Find the file system; nothing is read or written yet.

        Raises:
            UserError: if there is no such protocol, or what speaks it is not installed.
        """
        self.url = shown_url(url)
        self._protocol, self._files, self._root = find_file_system(url)

    def check_writable(self) -> None:
        """Check that files can be written, by writing one and removing it again.

        Raises:
            UserError: if not: no such bucket, no credentials, no permission, no answer.
        """
        name = f".{uuid.uuid4().hex}.part"
        try:
            is_new = not self._files.exists(self._root)
            self._make_directory(self._root)
            self._files.pipe_file(self._path(name), b"troupe")
            self._files.rm_file(self._path(name))
            if is_new and self._protocol not in OBJECT_STORES:
                self._files.rmdir(self._root)
        except Exception as error:  # of any kind: each file system has its own
            raise UserError(f"'{self.url}' cannot be written: {described(error)}") from error

    def files(self) -> dict[str, int]:
        """Return the sizes of all files by their names relative to the directory.

        Left out is what is hidden or still being written.
        """
        self._files.invalidate_cache()
        found = self._files.find(self._root, detail=True)
        sizes = {
            path[len(self._root) :].lstrip("/"): int(about["size"] or 0)
            for path, about in found.items()
            if about["type"] == "file"
        }
        return {name: size for name, size in sizes.items() if is_shared(name)}

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        content: bytes = self._files.cat_file(self._path(name))
        return content

    def get(self, name: str, file: Path) -> None:
        """Copy a file to this machine, where it appears whole."""
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.part")
        self._files.get_file(self._path(name), str(aside))
        aside.replace(file)

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine to the directory, where it appears whole."""
        path = self._path(name)
        if not file.is_file():
            raise FileNotFoundError(str(file))
        if self._protocol in OBJECT_STORES:
            self._files.put_file(str(file), path)
            return
        folder, _, base = path.rpartition("/")
        self._make_directory(folder)
        aside = f"{folder}/.{base}.part"
        self._files.put_file(str(file), aside)
        self._files.mv(aside, path)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and a directory that it leaves empty."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(path)
        folder = path.rpartition("/")[0]
        if self._protocol not in OBJECT_STORES and folder != self._root:
            with contextlib.suppress(OSError):  # others are in it
                self._files.rmdir(folder)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _make_directory(self, path: str) -> None:
        # an object store would make a bucket
        if self._protocol not in OBJECT_STORES:
            self._files.makedirs(path, exist_ok=True)


def is_shared(name: str) -> bool:
    """Return whether a file of a run is for others: neither hidden nor still being written."""
    return not name.endswith(("/", ".part")) and not any(p.startswith(".") for p in name.split("/"))


def local_of(place: str | Path) -> Path:
    """Return the directory on this machine in which a run at a path or URL is written.

    Raises:
        UserError: if a URL names no directory.
    """
    match = URL.match(str(place)) if is_url(place) else None
    if match is None:
        return Path(place)
    host, *path = shown_url(str(place)).partition("://")[2].split("/")
    inner = [part for part in path if part not in ("", ".")]
    if ".." in inner or not (host or inner):
        raise UserError(f"'{place}': give the URL of a directory, e.g. s3://bucket/runs/first.")
    return _cache().joinpath(match[1], host or NO_HOST, *inner)


def shown(path: Path) -> str:
    """Return how users name a directory: by the URL to which it is copied, or its path."""
    try:
        protocol, host, *inner = path.relative_to(_cache()).parts
    except ValueError:
        return str(path)
    return f"{protocol}://{'/'.join(['' if host == NO_HOST else host, *inner])}"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "troupe" / "runs"
