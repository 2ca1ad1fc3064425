"""Engines in Python that exchange protobuf messages."""

from troupe_nrp.engines.scripts import GrpcEngineScript, RegisterEngine

__all__ = ["GrpcEngineScript", "RegisterEngine"]
