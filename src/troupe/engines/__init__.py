"""Engines: simulators that advance in steps of simulated time and exchange datapacks.

Enters: an engine's settings, commands and states to write. Leaves: datapacks to read, each an
array of (num_instances, ...). `base` holds the contract, one file each engine, `conformance` the
tests that every engine passes. To add one, copy `mujoco_settings.py` and `mujoco.py` and name the
settings class in the entry-point group ``troupe.engines``.
"""

from troupe.engines.base import Engine, EngineSettings, EngineSpec, Fault

__all__ = ["Engine", "EngineSettings", "EngineSpec", "Fault"]
