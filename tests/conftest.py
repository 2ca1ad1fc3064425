"""What all tests share."""

import os
import sys
import time
import uuid
from pathlib import Path

import pytest

from troupe.fleet.supervision import KEEP_COMPILED

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".pytest_cache" / "jax"

# the benchmarks are no part of the installed package
sys.path.insert(0, str(ROOT))

# many tests compile the same update; half of their time went into that
os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(CACHE), **KEEP_COMPILED}


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3, moto's, which can stop and start again."""
    from benchmarks.s3_server import S3Server

    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3(request, monkeypatch):
    """The URL of a folder in a bucket: of a server of moto, or of the one of `make check-s3`."""
    bucket = os.environ.get("TROUPE_TEST_S3")
    if bucket is None:
        server = request.getfixturevalue("s3_server")
        bucket = server.bucket
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
    return f"s3://{bucket}/{uuid.uuid4().hex}"


def take_away(folder: Path) -> None:
    """Make a folder impossible to read and write, as storage that has gone away."""
    folder.rename(_aside(folder))
    folder.write_text("no directory")


def bring_back(folder: Path) -> None:
    """Have a folder back that was taken away, with all that was in it."""
    folder.unlink()
    _aside(folder).rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-away")


def wait_until(condition) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError
