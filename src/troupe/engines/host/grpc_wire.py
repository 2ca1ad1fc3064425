"""What both ends of a gRPC stream agree on."""

from __future__ import annotations

PROTOCOL = 2
SERVICE = "troupe.Engines"
METHOD_NAME = "Host"
METHOD = f"/{SERVICE}/{METHOD_NAME}"

_COMMON = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # a machine that vanishes is noticed
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
CHANNEL_OPTIONS = (
    *_COMMON,
    # a connection for each engine
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
SERVER_OPTIONS = (
    *_COMMON,
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # two servers at one port would share its engines by chance
    ("grpc.so_reuseport", 0),
)
