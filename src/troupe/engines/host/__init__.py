"""Engines elsewhere: one proxy that runs any engine in another process or on another machine.

Enters: an engine's settings, whose ``host`` says where it runs. Leaves: an engine, whose packs
cross shared memory (``process``) or gRPC (``grpc://host:port``, ``grpcs://host:port``). `engine`
is the proxy (`cameras` where there are some), `process` and `grpc_client` its two links, `server`
applies their messages to the real engine. Nothing is ever pickled. A new transport is a class like
`process.ProcessLink`.
"""

from troupe.engines.host.engine import HostedEngine
from troupe.engines.host.open import open_engine

__all__ = ["HostedEngine", "open_engine"]
