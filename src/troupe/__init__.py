"""Troupe trains robots on a troupe of simulators.

Importing this package loads numpy and little else; what a part needs (MuJoCo, JAX, Ray) is
imported where it is used. ``import troupe.envs`` registers the Gymnasium environments.
"""

from importlib.metadata import version

__version__ = version("troupe")
__all__ = ["__version__"]
