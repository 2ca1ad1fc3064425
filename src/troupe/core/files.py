"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file aside, then rename it to its place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.write_bytes(content.encode() if isinstance(content, str) else content)
    aside.replace(path)


@contextmanager
def directory_atomic(path: Path) -> Iterator[Path]:
    """Give a directory to fill that takes its place only when the block ends without error."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(path, ignore_errors=True)
    aside.replace(path)
