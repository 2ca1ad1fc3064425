"""Troupe trains robots on a troupe of simulators.

Importing this package loads numpy and little else; what a part needs (MuJoCo, JAX, Ray) is
imported where it is used. ``import troupe.envs`` registers the Gymnasium environments;
``troupe.connect`` gives the instances of an experiment to anybody's model, and
``troupe.open_store`` the episodes that were collected.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("troupe")
__all__ = ["__version__", "connect", "open_store"]
_WHERE = {"connect": "troupe.fleet.serving", "open_store": "troupe.episodes.store"}


def __getattr__(name: str) -> Any:
    """Return what is imported only when it is asked for."""
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'troupe' has no attribute '{name}'")
