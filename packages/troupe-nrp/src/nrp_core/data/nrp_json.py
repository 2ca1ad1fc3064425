"""Datapacks of JSON."""

from troupe_nrp.json_data import NlohmannJson
from troupe_nrp.packs import JsonDataPack, JsonRawData

__all__ = ["JsonDataPack", "JsonRawData", "NlohmannJson"]
