"""What a script of a NEST network imports."""

from troupe_nrp.engines.nest_json import CreateDataPack, RegisterDataPack

__all__ = ["CreateDataPack", "RegisterDataPack"]
