"""Troupe trains robots on a troupe of simulators.

Importing this package loads numpy and little else; what a part needs (MuJoCo, JAX, Ray) is
imported where it is used. ``import troupe.envs`` registers the Gymnasium environments;
``troupe.connect`` gives the instances of an experiment to anybody's model.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("troupe")
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:
    """Return what is imported only when it is asked for."""
    if name == "connect":
        return import_module("troupe.fleet.serving").connect
    raise AttributeError(f"module 'troupe' has no attribute '{name}'")
