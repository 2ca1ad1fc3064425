"""A Ray of this machine alone, in a process of its own, which says where it listens.

Ray forks its processes, and a fork of a process in which threads of JAX or gRPC run may stand still
before it becomes another program. Here there are none. It all ends when standard input does, which
is when the process that started it ends, however that happens.
"""

from __future__ import annotations

import logging
import sys

import ray


def main() -> None:
    """Start Ray, print its address, and wait."""
    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
