"""Where Bullet's own messages go: it prints to standard output, which is the command line's."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect what native code prints; the lines are there after the block."""
    lines: list[str] = []
    flush_native = ctypes.CDLL(None).fflush
    sys.stdout.flush()
    sys.stderr.flush()
    flush_native(None)
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            flush_native(None)
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
