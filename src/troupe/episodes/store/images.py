"""Images as bytes and back.

========  =====================================  ==========
encoding  of                                     is lossless
========  =====================================  ==========
png       uint8 (H, W[, 1, 3 or 4]), uint16 (H, W)  yes
planes    any numbers: the first byte of all, then the second, …; small once compressed  yes
png-mm    depth in m as whole millimetres up to 65.535 m  no
jpeg      uint8 (H, W) or (H, W, 3)              no
========  =====================================  ==========
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

ENCODINGS = ("png", "planes", "png-mm", "jpeg")
PNG_LEVEL = 1
"""zlib's: level 6 takes four times as long for a tenth less."""
JPEG_QUALITY = 92
MM_PER_M = 1000.0


def default_encoding(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Return the lossless encoding that suits an image."""
    return "png" if can_encode("png", shape, dtype) else "planes"


def can_encode(encoding: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether an encoding can hold images of a shape, (H, W) or (H, W, C)."""
    channels = shape[2] if len(shape) == 3 else 0
    if encoding == "planes":
        return True
    if encoding == "png-mm":
        return dtype.kind == "f" and channels == 0
    if dtype == np.uint16:
        return encoding == "png" and channels == 0
    return dtype == np.uint8 and channels in ((0, 1, 3, 4) if encoding == "png" else (0, 3))


def encode(image: Image, encoding: str) -> bytes:
    """Return the bytes of an image, (H, W) or (H, W, C).

    Raises:
        ValueError: if depth that is to be in millimetres does not fit.
    """
    if encoding == "planes":
        flat = np.ascontiguousarray(image).reshape(-1)
        return flat.view(np.uint8).reshape(len(flat), -1).T.tobytes()
    if encoding == "png-mm":
        in_mm = np.rint(image * MM_PER_M)
        if not (np.isfinite(in_mm).all() and in_mm.min() >= 0 and in_mm.max() <= 0xFFFF):
            raise ValueError("depth in whole millimetres must be between 0 and 65.535 m")
        image, encoding = in_mm.astype(np.uint16), "png"
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    picture = Pillow.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if encoding == "png":
        picture.save(buffer, "PNG", compress_level=PNG_LEVEL)
    else:
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def decode(content: bytes, encoding: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    """Return the image of some bytes."""
    if encoding == "planes":
        planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(content)) as picture:
        image = np.asarray(picture)
    if encoding == "png-mm":
        return (image / MM_PER_M).astype(dtype).reshape(shape)
    return image.astype(dtype, copy=False).reshape(shape)
