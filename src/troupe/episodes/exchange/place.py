"""Where a data set is written: a folder that appears whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from troupe.core.errors import TroupeError, UserError
from troupe.core.files import directory_atomic


def check_place(path: Path, marker: str, *, force: bool) -> None:
    """Check that a data set can be written to a folder.

    Args:
        path: of the folder.
        marker: file within it that each data set of that format has, by which to know what may be
            replaced.
        force: whether a data set that is there may be replaced.

    Raises:
        UserError: if something is there that may not be replaced.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not force:
        raise UserError(f"--out: '{path}' exists; choose another, or --force to replace it.")
    if not (path / marker).is_file():
        raise UserError(f"--out: '{path}' exists without {marker}, so --force won't replace it.")


@contextmanager
def new_dataset(path: Path, marker: str, *, force: bool) -> Iterator[Path]:
    """Give a folder to fill, which takes its place when the block ends without error.

    Raises:
        UserError: as `check_place` does.
        TroupeError: if it cannot be written.
    """
    check_place(path, marker, force=force)
    try:
        # a path such as "." has no name by which to lie aside
        with directory_atomic(path.resolve()) as aside:
            yield aside
    except OSError as error:
        raise TroupeError(f"data set '{path}' cannot be written: {error}.") from error
