"""A Ray of this machine alone, in a process of its own, which says where it listens.

One line of JSON on standard output: the address, and the process of its node.

Ray forks its processes, and a fork of a process in which threads of JAX or gRPC run may stand still
before it becomes another program. Here there are none. It all ends when standard input does, which
is when the process that started it ends, however that happens.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import ray
from ray._private import worker


def main() -> None:
    """Start Ray, say where it is, and wait."""
    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    node: Any = worker._global_node
    (raylet,) = node.all_processes["raylet"]
    about = {"address": ray.get_runtime_context().gcs_address, "node": raylet.process.pid}
    print(json.dumps(about), flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
