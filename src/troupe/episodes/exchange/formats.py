"""The formats that stores are exchanged with."""

from __future__ import annotations

from pathlib import Path

from troupe.core.errors import UserError
from troupe.episodes.exchange.lerobot_files import INFO
from troupe.episodes.exchange.lerobot_import import LeRobotSource
from troupe.episodes.exchange.minari_files import METADATA, dataset_folder
from troupe.episodes.exchange.minari_import import MinariSource
from troupe.episodes.exchange.selection import Exchanged, Report, no_report
from troupe.episodes.exchange.sink import Source, write_store

FORMATS = ("lerobot", "minari")


def import_dataset(dataset: str | Path, store: str | Path, report: Report = no_report) -> Exchanged:
    """Add the episodes of a LeRobotDataset v3 or a Minari data set to a store.

    Args:
        dataset: its folder, or the id of a data set of Minari on this machine.
        store: URL of the store, made if there is none. Episodes that it has already are left out.
        report: is told how far it is.

    Raises:
        UserError: if there is no data set, or the store is of another schema; nothing is written.
        TroupeError: if the data set cannot be read.
    """
    folder = Path(dataset)
    source: Source
    if (folder / INFO).is_file():
        source = LeRobotSource(folder)
    else:
        folder = dataset_folder(str(dataset))
        if not (folder / METADATA).is_file():
            raise UserError(
                f"there is no data set at '{dataset}': neither LeRobot's {INFO} nor Minari's "
                f"{METADATA} is there."
            )
        source = MinariSource(folder)
    return write_store(source, folder, str(store), report)
