"""Where Minari keeps data sets: ``<MINARI_DATASETS_PATH>/<id>/data``, an id is ``arm/reach-v0``."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from troupe.core.errors import UserError

METADATA = "data/metadata.json"
ORIGIN = "troupe"
ENDING = re.compile(r"[-\w]+-v\d+")
"""Of the name of a data set."""


def check_minari(where: str) -> None:
    """Check that Minari is installed.

    Args:
        where: the place in the user's input that asks for it.

    Raises:
        UserError: if it is not, or lacks what reads its files.
    """
    if find_spec("minari") is None or find_spec("h5py") is None:
        raise UserError(f"{where}: Minari is not installed: pip install 'troupe[minari]'.")


def datasets_root() -> Path:
    """Return the folder that Minari looks for data sets in."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def dataset_folder(dataset: str) -> Path:
    """Return the folder of a data set, given as a path or as an id."""
    path = Path(dataset)
    return path if path.is_dir() else datasets_root() / dataset


def dataset_id(folder: Path) -> str:
    """Return the id of a data set in a folder: below Minari's own folder its path from there.

    Raises:
        UserError: if it cannot be one.
    """
    if not ENDING.fullmatch(folder.name):
        raise UserError(f"--out: Minari's names end in a version: '{folder.name}-v0'.")
    root, path = datasets_root().absolute(), folder.absolute()
    return str(path.relative_to(root)) if path.is_relative_to(root) else folder.name
