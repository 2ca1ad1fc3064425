"""Images one after the other, as a film or a strip of a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.core.files import write_atomic
from troupe.episodes.video import FilmWriter, check_video

Frames = Sequence[npt.NDArray[np.uint8]]
FORMATS = (".mp4", ".png")
STRIP = 8


def check_film(path: Path) -> None:
    """Check that a film can be written to a path.

    Raises:
        UserError: if its format is none of ours, or PyAV is missing for it.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"--out: '{path}' is neither of {', '.join(FORMATS)}.")
    if path.suffix == ".mp4":
        check_video("--out")


def write_film(path: Path, frames: Frames, fps: float) -> None:
    """Write frames, each (H, W, 3), to an MP4 file, or some of them to a PNG strip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        _write_mp4(path, frames, fps)
    else:
        _write_strip(path, frames)


def _write_strip(path: Path, frames: Frames) -> None:
    import io

    from PIL import Image

    chosen = np.linspace(0, len(frames) - 1, min(STRIP, len(frames))).round().astype(int)
    strip = np.concatenate([frames[i] for i in chosen], axis=1)
    content = io.BytesIO()
    Image.fromarray(strip).save(content, "PNG")
    write_atomic(path, content.getvalue())


def _write_mp4(path: Path, frames: Frames, fps: float) -> None:
    # H.264 in the usual colours wants even sizes
    height, width = (2 * (size // 2) for size in frames[0].shape[:2])
    unfinished = path.with_name(f".{path.name}")
    with closing(FilmWriter(unfinished, fps, height, width)) as film:
        for frame in frames:
            film.add(frame[:height, :width])
    unfinished.rename(path)
