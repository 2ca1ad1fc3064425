"""A simulator, for scripts of other types of engines."""

from troupe_nrp.engines.py_sim import SimulatorManager

__all__ = ["SimulatorManager"]
