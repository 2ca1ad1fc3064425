"""File systems of shared storage, by URL: all that fsspec knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from troupe.core.errors import UserError, unknown

URL = re.compile(r"([a-z][a-z0-9+]*)://(.*)", re.DOTALL)

OBJECT_STORES = {"abfs", "adl", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a", "tos"}
"""Where a file appears whole by itself, and there are no directories to make."""

EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Extras of Troupe that bring a protocol."""


class FileSystem(NamedTuple):
    """A directory in a file system.

    Attributes:
        protocol: of the file system; "file" for this machine's.
        files: the file system of fsspec.
        root: of the directory, as the file system names it.
    """

    protocol: str
    files: Any
    root: str


def find_file_system(place: str | Path) -> FileSystem:
    """Return the file system of a path or URL; nothing is read or written yet.

    Credentials and addresses come from where the file system looks for them by itself, e.g.
    ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``, or from fsspec's own configuration.

    Raises:
        UserError: if there is no such protocol, or what speaks it is not installed.
    """
    import fsspec

    match, url = URL.match(str(place)), shown_url(str(place))
    protocol = match[1] if match else "file"
    if protocol not in fsspec.available_protocols():
        raise unknown("protocol", protocol, fsspec.available_protocols(), where=url)
    try:
        files, root = fsspec.url_to_fs(str(place), skip_instance_cache=True)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        how = f"pip install 'troupe[{extra}]'" if extra else str(error)
        raise UserError(f"'{url}' cannot be reached: {how}.") from error
    except Exception as error:  # of any kind: an address or a credential that does not fit
        raise UserError(f"'{url}' cannot be reached: {error}") from error
    return FileSystem(protocol, files, root.rstrip("/"))


def shown_url(url: str) -> str:
    """Return a URL without the password and the last slash."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", url).rstrip("/")


def described(error: BaseException) -> str:
    """Return what an error of a file system says, with its kind where that tells more."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
