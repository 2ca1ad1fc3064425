"""Engines that step a simulator."""

from troupe_nrp.engines.py_sim import PySimEngineScript

__all__ = ["PySimEngineScript"]
