"""The files of a store, on any file system that fsspec knows.

A file appears whole: written aside and renamed where there are directories, by a single request
where there are objects.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from troupe.episodes.file_systems import OBJECT_STORES, find_file_system, shown_url


class StoreFiles:
    """A folder at a path or URL.

    Attributes:
        url: of the folder, without a password; a path of this machine is absolute.
        protocol: of the file system; "file" for this machine's.
        system: the file system of fsspec.

    What goes wrong is raised as the file system raises it, since each has errors of its own.
    """

    def __init__(self, url: str | Path) -> None:
        """Find the file system; nothing is read or written yet.

        Raises:
            UserError: if there is no such protocol, or what speaks it is not installed.
        """
        self.protocol, self.system, self._root = find_file_system(url)
        self.url = shown_url(str(url))
        if self.is_local:
            self.url = self._root

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.protocol in ("file", "local")

    @property
    def reads_at_once(self) -> bool:
        """Whether several threads may read; in memory they would share the place in a file."""
        return self.is_local or self.protocol in OBJECT_STORES - {"memory"}

    def path(self, name: str) -> str:
        """Return the file system's path of a file."""
        return f"{self._root}/{name}"

    def address(self, name: str) -> str:
        """Return where DuckDB finds a file: a path, or a URL of the registered file system."""
        return (
            self.path(name) if self.is_local else str(self.system.unstrip_protocol(self.path(name)))
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes of the whole files in a folder, by name relative to it."""
        self.system.invalidate_cache()
        try:
            found = self.system.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return {}
        sizes = {about["name"].rpartition("/")[2]: int(about["size"] or 0) for about in found}
        return {n: size for n, size in sizes.items() if n and not n.startswith(".")}

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        content: bytes = self.system.cat_file(self.path(name))
        return content

    def read_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """Return the contents of files, at once where the file system can; None: not there."""
        paths = {self.path(name): name for name in names}
        if not paths:
            return {}
        found = self.system.cat(list(paths), on_error="return")
        contents: dict[str, bytes | None] = {}
        for path, name in paths.items():
            content = found[path]
            if isinstance(content, FileNotFoundError):
                contents[name] = None
            elif isinstance(content, BaseException):
                raise content
            else:
                contents[name] = content
        return contents

    def open(self, name: str) -> Any:
        """Return a file, open to read at any place."""
        if self.is_local:
            import pyarrow as pa

            return pa.OSFile(self.path(name), "rb")
        return self.system.open(self.path(name), "rb")

    def put(self, name: str, content: bytes | memoryview) -> None:
        """Write a file, which appears whole."""
        path = self.path(name)
        if self.protocol in OBJECT_STORES:
            self.system.pipe_file(path, bytes(content))
            return
        folder, _, base = path.rpartition("/")
        aside = f"{folder}/.{base}.{uuid.uuid4().hex}.part"
        self.system.makedirs(folder, exist_ok=True)
        if self.is_local:
            _write_local(Path(aside), Path(path), content)
            return
        self.system.pipe_file(aside, bytes(content))
        self.system.mv(aside, path)

    def put_file(self, name: str, file: Path) -> None:
        """Give the store a file of this machine, which is not changed any more."""
        if self.is_local:
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
            with contextlib.suppress(OSError):  # another disk, or one without links: copied
                os.link(file, aside)
                aside.replace(path)
                aside.unlink(missing_ok=True)  # still there if it was linked to this place before
                return
        self.put(name, file.read_bytes())

    def put_new(self, name: str, content: bytes) -> bool:
        """Write a file unless it is there; return whether it was written."""
        path = self.path(name)
        if self.is_local:
            folder = Path(path).parent
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f".{uuid.uuid4().hex}.part"
            try:
                aside.write_bytes(content)
                os.link(aside, path)  # fails if it is there, which a rename would not
            except FileExistsError:
                return False
            finally:
                aside.unlink(missing_ok=True)
            return True
        if self.protocol in ("s3", "s3a"):
            try:
                self.system.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                # a server that knows no conditions: who writes at the same moment may be lost
            else:
                return True
        if self.system.exists(path):
            return False
        self.put(name, content)
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.system.rm_file(self.path(name))

    def age_s(self, name: str, now_s: float) -> float:
        """Return how long ago a file was written."""
        return now_s - float(self.system.modified(self.path(name)).timestamp())


def _write_local(aside: Path, path: Path, content: bytes | memoryview) -> None:
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()  # what a full disk left
        raise
