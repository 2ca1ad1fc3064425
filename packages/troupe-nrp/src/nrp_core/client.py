"""The client that starts and steps experiments."""

from troupe_nrp.client import NrpCore

__all__ = ["NrpCore"]
