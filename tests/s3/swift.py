"""Runs a command beside OpenStack Swift, a server that speaks S3 and keeps what it gets on disk.

``python -m tests.s3.swift pytest -m "" -k s3 tests/episodes/store``: the command finds the server
by AWS_ENDPOINT_URL, and the tests take it, by TROUPE_TEST_S3, in place of moto's. One replica on
this machine, on loopback. What the servers wrote is removed in the end.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

KINDS = ("account", "container", "object")
BUCKET = "troupe"
STARTS_WITHIN_S = 60.0

SWIFT = """\
[swift-hash]
swift_hash_path_prefix = troupe
swift_hash_path_suffix = tests
[storage-policy:0]
name = one
default = yes
"""

SERVER = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
"""

STORAGE = """\
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """\
[pipeline:main]
pipeline = catch_errors proxy-logging cache listing_formats bulk s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
# without a server: it must be there, and is only to make things faster
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
# without it an answer to HEAD has a body
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
"""


def main() -> int:
    """Run the command and return its exit code."""
    missing = [kind for kind in (*KINDS, "proxy") if not shutil.which(f"swift-{kind}-server")]
    if missing or not shutil.which("swift-ring-builder"):
        needed = " ".join(f"swift-{kind}" for kind in (*KINDS, "proxy"))
        print(f"OpenStack Swift is not installed: apt-get install swift {needed}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as environment:
        return subprocess.run(sys.argv[1:], env=os.environ | environment, check=False).returncode


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment by which clients find Swift, with a bucket, as long as it serves."""
    ports = {kind: _free_port() for kind in (*KINDS, "proxy")}
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT)
    for kind, port in ports.items():
        server = SERVER.format(port=port, folder=folder, user=folder.owner())
        rest = PROXY if kind == "proxy" else STORAGE.format(kind=kind)
        (folder / f"{kind}.conf").write_text(server + rest)
        if kind != "proxy":
            _make_ring(folder, kind, port)
    with ExitStack() as stack:
        for kind in ports:
            stack.enter_context(_running(folder, kind))
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['proxy']}",
            "AWS_ACCESS_KEY_ID": "test:tester",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TROUPE_TEST_S3": BUCKET,
        }
        for kind, port in ports.items():
            _wait_for(port, folder / f"{kind}.log")
        _make_bucket(environment)
        yield environment


def _make_ring(folder: Path, kind: str, port: int) -> None:
    """Say that one disk on this machine keeps everything."""
    device = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", str(port)]
    for arguments in (
        ["create", "4", "1", "0"],
        ["add", *device, "--device", "disk", "--weight", "1"],
        ["rebalance"],
    ):
        builder = ["swift-ring-builder", str(folder / f"{kind}.builder"), *arguments]
        done = subprocess.run(builder, capture_output=True, text=True, check=False)
        if done.returncode > 1:  # 1: a warning
            raise SystemExit(f"{' '.join(builder)}: {done.stdout}{done.stderr}")


@contextmanager
def _running(folder: Path, kind: str) -> Iterator[None]:
    command = [f"swift-{kind}-server", str(folder / f"{kind}.conf")]
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, log: Path) -> None:
    until_s = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"Swift does not answer: {log.stem}: {log.read_text()[-2000:]}")


def _make_bucket(environment: dict[str, str]) -> None:
    import fsspec

    os.environ.update(environment)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
