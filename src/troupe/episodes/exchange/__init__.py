"""Stores to and from other formats of episodes: LeRobotDataset v3 and Minari.

Enters: a `Store`, or a data set in a folder. Leaves: a data set in a folder (`export_lerobot`,
`export_minari`), or a store (`import_dataset`, which finds out the format). Episodes go through one
by one; no store is in memory as a whole.

What a format has no place for lies beside the data in a folder of our own (`origin`), so that an
import brings it back. Another format goes into two modules of its own, `<format>_export` and
`<format>_import`, and into `formats`.
"""

from troupe.episodes.exchange.formats import FORMATS, import_dataset
from troupe.episodes.exchange.lerobot_export import export_lerobot
from troupe.episodes.exchange.minari_export import export_minari
from troupe.episodes.exchange.selection import Exchanged, Selection

__all__ = [
    "FORMATS",
    "Exchanged",
    "Selection",
    "export_lerobot",
    "export_minari",
    "import_dataset",
]
