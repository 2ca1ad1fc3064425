"""What both ends of a client's stream agree on.

The client opens a stream with the session that it had, if any, and the number of the last result
that it has. The server answers with the number of the last command that it has applied. What the
other side has not got is then sent again, so that nothing is lost and nothing is done twice.
"""

from __future__ import annotations

from troupe.engines.host import grpc_wire

PROTOCOL = 1
SERVICE = "troupe.Fleet"
METHOD_NAME = "Step"
METHOD = f"/{SERVICE}/{METHOD_NAME}"

CHANNEL_OPTIONS = (
    *grpc_wire.CHANNEL_OPTIONS,
    # who waits for an action may have it again soon
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
SERVER_OPTIONS = grpc_wire.SERVER_OPTIONS
