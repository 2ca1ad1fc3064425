"""Devices between a network and the rest, each with a datapack."""

from troupe_nrp.engines.brain_devices import (
    DCSource,
    LeakyIntegrator,
    LeakyIntegratorAlpha,
    LeakyIntegratorExp,
    PoissonSpikeGenerator,
)

__all__ = [
    "DCSource",
    "LeakyIntegrator",
    "LeakyIntegratorAlpha",
    "LeakyIntegratorExp",
    "PoissonSpikeGenerator",
]
