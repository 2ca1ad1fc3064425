"""The working directory of this process, which simulations in several threads share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_before: list[Path] = []
_working: list[Path] = []


@contextmanager
def working_in(directory: Path) -> Iterator[None]:
    """Work in an experiment's folder, where its files expect to be.

    Of several at the same time the one that began last has its folder; when all have ended, the
    directory is the one before the first.
    """
    with _lock:
        if not _working:
            _before[:] = [Path.cwd()]
        _working.append(directory)
        os.chdir(directory)
    try:
        yield
    finally:
        with _lock:
            _working.remove(directory)
            os.chdir((_working or _before)[-1])
