"""What users' functions import with ``from nrp_core import *``."""

from troupe_nrp.functions import (
    EngineDataPack,
    EngineDataPacks,
    PreprocessedDataPack,
    PreprocessingFunction,
    SimulationIteration,
    SimulationTime,
    StatusFunction,
    TransceiverFunction,
)
from troupe_nrp.packs import DataPackIdentifier

__all__ = [
    "DataPackIdentifier",
    "EngineDataPack",
    "EngineDataPacks",
    "PreprocessedDataPack",
    "PreprocessingFunction",
    "SimulationIteration",
    "SimulationTime",
    "StatusFunction",
    "TransceiverFunction",
]
