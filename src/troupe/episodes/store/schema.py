"""What all episodes of a store have in common: the arrays of their steps, and their images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError, unknown
from troupe.episodes.store.images import ENCODINGS, can_encode, default_encoding
from troupe.episodes.store.record import EpisodeRecord

SCALARS = (bool, int, float, str, np.bool_, np.integer, np.floating, type(None))
OWN_COLUMNS = frozenset({"id", "written", "step", "filename"})
"""Names that are the store's own in its views."""

_dtype = cache(np.dtype)  # of a name, which numpy would parse for each array of each episode


@dataclass(frozen=True)
class StepField:
    """An array of each step: shape of one step's value, and type."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class ImageField:
    """A camera's image: shape (H, W) or (H, W, C), type, and how it is kept."""

    shape: tuple[int, ...]
    dtype: str
    encoding: str


@dataclass(frozen=True)
class StoreSchema:
    """Steps' arrays and images by name."""

    steps: Mapping[str, StepField]
    images: Mapping[str, ImageField]

    @classmethod
    def of(cls, record: EpisodeRecord, encodings: Mapping[str, str] | None = None) -> StoreSchema:
        """Return the schema that an episode has.

        Args:
            record: an example.
            encodings: of images, by name, where they are not to be the default: PNG where PNG can
                hold them exactly, otherwise "planes", exact for any numbers.

        Raises:
            UserError: if there is no such image or encoding, or it can't hold the image.
        """
        given = dict(encodings or {})
        for name in given:
            if name not in record.images:
                raise unknown("image", name, record.images, "encodings")
        images = {}
        for name, values in record.images.items():
            shape, dtype = values.shape[1:], values.dtype
            encoding = given.get(name, default_encoding(shape, dtype))
            if encoding not in ENCODINGS:
                raise unknown("encoding", encoding, ENCODINGS, f"encodings.{name}")
            if not can_encode(encoding, shape, dtype):
                raise UserError(f"encodings.{name}: {encoding} cannot hold {dtype} of {shape}.")
            images[name] = ImageField(shape, dtype.name, encoding)
        steps = {n: StepField(v.shape[1:], v.dtype.name) for n, v in record.steps.items()}
        return cls(steps, images)

    @property
    def digest(self) -> str:
        """By which shards of another schema are told apart."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        fields: dict[str, Mapping[str, StepField | ImageField]]
        fields = {"steps": self.steps, "images": self.images}
        return {
            kind: {name: {**vars(field), "shape": list(field.shape)} for name, field in of.items()}
            for kind, of in fields.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StoreSchema:
        """Return the schema of JSON values."""
        return cls(
            {n: StepField(tuple(f["shape"]), f["dtype"]) for n, f in value["steps"].items()},
            {
                n: ImageField(tuple(f["shape"]), f["dtype"], f["encoding"])
                for n, f in value["images"].items()
            },
        )

    def difference(self, other: StoreSchema) -> str:
        """Return in words how another schema differs; nothing if it is the same."""
        mine, theirs = (_flat(schema) for schema in (self, other))
        return "; ".join(
            f"{name}: {mine.get(name, 'not there')} here, {theirs.get(name, 'not there')} given"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        )

    def check(self, record: EpisodeRecord) -> None:
        """Check that an episode fits.

        Raises:
            UserError: if not, naming what does not.
        """
        where = f"episode '{record.id}'"
        _same_names(where, "step array", self.steps, record.steps)
        _same_names(where, "image", self.images, record.images)
        _same_names(where, "frames of image", self.images, record.frames)
        lengths = {len(values) for values in record.steps.values()}
        if len(lengths) > 1:
            found = ", ".join(f"{name} {len(v)}" for name, v in record.steps.items())
            raise UserError(f"{where}: its step arrays have different lengths: {found}.")
        for name, step in self.steps.items():
            _same_array(where, name, step, record.steps[name])
        for name, image in self.images.items():
            _same_array(where, name, image, record.images[name])
            if len(record.frames[name]) != len(record.images[name]):
                raise UserError(
                    f"{where}: {name} has {len(record.images[name])} images, but "
                    f"{len(record.frames[name])} frames."
                )
        _check_values(where, record)


def _check_values(where: str, record: EpisodeRecord) -> None:
    for name, value in record.about.items():
        if name in OWN_COLUMNS:
            raise UserError(f"{where}: about.{name}: this name is the store's own.")
        if not isinstance(value, SCALARS):
            raise UserError(f"{where}: about.{name}: a number or text, not {value!r}.")
    for name, value in record.draws.items():
        if name in OWN_COLUMNS:
            raise UserError(f"{where}: draws.{name}: this name is the store's own.")
        is_list = isinstance(value, list | tuple | np.ndarray)
        if not isinstance(value, SCALARS) and not (is_list and np.ndim(value) == 1):
            raise UserError(f"{where}: draws.{name}: a number, a list of them or a text.")


def _flat(schema: StoreSchema) -> dict[str, str]:
    described = {f"steps.{n}": f"{f.dtype} {f.shape}" for n, f in schema.steps.items()}
    images = schema.images.items()
    return described | {f"images.{n}": f"{f.dtype} {f.shape} as {f.encoding}" for n, f in images}


def _same_names(
    where: str, kind: str, expected: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    if expected.keys() == found.keys():
        return
    for name in found:
        if name not in expected:
            raise unknown(kind, name, expected, where)
    missing = next(name for name in expected if name not in found)
    raise UserError(f"{where}: {kind} '{missing}' is missing.")


def _same_array(
    where: str, name: str, field: StepField | ImageField, values: npt.NDArray[Any]
) -> None:
    if values.shape[1:] != field.shape or values.dtype != _dtype(field.dtype):
        raise UserError(
            f"{where}: {name} is {values.dtype} of {values.shape[1:]}, in this store "
            f"{field.dtype} of {field.shape}."
        )
