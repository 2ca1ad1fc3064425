"""A server that speaks S3, moto's, on loopback; it can stop and come back with all that it held."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "troupe"


class S3Server:
    """Listens in threads of this process, always on the same port.

    Attributes:
        environment: by which clients find it and are let in.
        bucket: that there is.
    """

    bucket = BUCKET

    def __init__(self) -> None:
        self._port = 0
        self.start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._make_bucket()

    def start(self) -> None:
        """Listen, again."""
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server: Any = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Listen no more; what it holds stays."""
        self._server.stop()

    def _make_bucket(self) -> None:
        import fsspec

        files = fsspec.filesystem(
            "s3",
            key=self.environment["AWS_ACCESS_KEY_ID"],
            secret=self.environment["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
        )
        files.mkdir(BUCKET)


@contextmanager
def serving_s3() -> Iterator[dict[str, str]]:
    """Give the environment with which clients find a server, and stop it in the end."""
    server = S3Server()
    try:
        yield server.environment
    finally:
        server.stop()
