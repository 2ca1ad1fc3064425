"""Engines in Python that exchange JSON."""

from troupe_nrp.engines.scripts import EngineScript, RegisterEngine

__all__ = ["EngineScript", "RegisterEngine"]
