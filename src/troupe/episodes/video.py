"""Films as MP4 files, by PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from troupe.core.errors import TroupeError, UserError

Frame = npt.NDArray[np.uint8]
LARGEST_DENOMINATOR = 1000
"""Of frames a second as a fraction."""


def check_video(where: str) -> None:
    """Check that films can be written and read.

    Args:
        where: the place in the user's input that asks for one.

    Raises:
        UserError: if PyAV is missing.
    """
    if find_spec("av") is None:
        raise UserError(f"{where}: MP4 needs PyAV: pip install 'troupe[video]'.")


class FilmWriter:
    """Writes frames to an MP4 file as H.264, whose sizes are even."""

    def __init__(
        self,
        path: Path,
        fps: float,
        height: int,
        width: int,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Begin the file.

        Args:
            path: of the file.
            fps: frames a second.
            height: of a frame, an even number.
            width: of a frame, an even number.
            options: of the encoder, e.g. ``{"crf": "18"}``.
        """
        import av

        rate = Fraction(fps).limit_denominator(LARGEST_DENOMINATOR)
        self._container = av.open(str(path), "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=rate, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        self._stream, self._time_base = stream, 1 / rate
        self.num_frames = 0

    def add(self, frame: Frame) -> None:
        """Add a frame, (H, W, 3)."""
        import av

        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = self.num_frames, self._time_base
        self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def close(self) -> None:
        """Write what is still in the encoder, and end the file."""
        with self._container:
            self._container.mux(self._stream.encode())


def read_film(path: Path) -> Iterator[tuple[float, Frame]]:
    """Give the frames of a film one by one, (H, W, 3), each with its time in s.

    Raises:
        TroupeError: if it cannot be read.
    """
    import av

    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                picture = frame.to_ndarray(format="rgb24")
                yield float(frame.time or 0.0), picture.astype(np.uint8, copy=False)
    except (av.FFmpegError, OSError) as error:
        raise TroupeError(f"film '{path}' cannot be read: {error}.") from error
