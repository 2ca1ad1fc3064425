"""Which features of a LeRobotDataset hold which arrays and images of a store.

==========================  ===================================================================
feature                     holds
==========================  ===================================================================
observation.state           some arrays of steps, joined
action, next.reward         those of steps
observation.images.<name>   RGB images
next.done, next.truncated,  how the episode ended, from ``about``
next.success
troupe.<name>               all other arrays of steps; depth and masks
==========================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from troupe.core.errors import UserError, unknown
from troupe.episodes.store.images import default_encoding
from troupe.episodes.store.schema import ImageField, StepField, StoreSchema

STATE, ACTION, REWARD = "observation.state", "action", "next.reward"
DONE, TRUNCATED, SUCCESS = "next.done", "next.truncated", "next.success"
IMAGES, OWN = "observation.images.", "troupe."
INDEX = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""Columns of each frame that every data set has, and their types."""
NUMBERS = {"bool", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64))}
NUMBERS |= {"float16", "float32", "float64"}
MOST_AXES = 5
"""That an array of LeRobot may have."""
NOT_BEFORE = ("next_", "next.", "info.", "action.")
"""Begin the names of arrays that say what was done in a step or came of it."""


@dataclass(frozen=True)
class StepSource:
    """Where an array of steps is: in a feature, from its element `first` on if it is not alone."""

    feature: str
    first: int | None
    field: StepField


@dataclass(frozen=True)
class ImageSource:
    """Where images are: in a feature of a kind, "image", "video", or the type of an array."""

    feature: str
    kind: str
    field: ImageField


@dataclass(frozen=True)
class Layout:
    """Where a data set has what a store has.

    Attributes:
        steps: arrays of steps by name.
        images: by name.
        has_ends: whether it says how episodes ended.
        has_success: whether it says if they succeeded.
    """

    steps: Mapping[str, StepSource]
    images: Mapping[str, ImageSource]
    has_ends: bool
    has_success: bool

    @property
    def schema(self) -> StoreSchema:
        """What a store of these episodes has in common."""
        return StoreSchema(
            {name: source.field for name, source in self.steps.items()},
            {name: source.field for name, source in self.images.items()},
        )

    def parts(self) -> dict[str, list[str]]:
        """Return the names of the arrays of steps that each feature holds, in order."""
        parts: dict[str, list[str]] = {}
        for name, source in sorted(self.steps.items(), key=lambda item: item[1].first or 0):
            parts.setdefault(source.feature, []).append(name)
        return parts

    def features(self) -> dict[str, dict[str, Any]]:
        """Return the features as ``info.json`` describes them."""
        found: dict[str, dict[str, Any]] = {}
        for feature, names in self.parts().items():
            fields = {name: self.steps[name].field for name in names}
            if self.steps[names[0]].first is None:
                (name, field), *_ = fields.items()
                shape = list(field.shape) or [1]
                elements = _elements(name, field) if len(shape) == 1 else None
                found[feature] = {"dtype": field.dtype, "shape": shape, "names": elements}
            else:
                elements = [
                    text for name, field in fields.items() for text in _elements(name, field)
                ]
                dtype = _joined_type(fields)
                found[feature] = {"dtype": dtype, "shape": [len(elements)], "names": elements}
        for source in self.images.values():
            axes = ["height", "width", "channels"][: len(source.field.shape)]
            shape = list(source.field.shape)
            found[source.feature] = {"dtype": source.kind, "shape": shape, "names": axes}
        ends = [DONE] + [TRUNCATED] * self.has_ends + [SUCCESS] * self.has_success
        found |= {name: {"dtype": "bool", "shape": [1], "names": None} for name in ends}
        return found | {n: {"dtype": d, "shape": [1], "names": None} for n, d in INDEX.items()}

    def to_json(self) -> dict[str, Any]:
        """Return where everything is, as JSON values; what it is stands in the store's schema."""
        return {
            "steps": {name: [s.feature, s.first] for name, s in self.steps.items()},
            "images": {name: [s.feature, s.kind] for name, s in self.images.items()},
            "has_ends": self.has_ends,
            "has_success": self.has_success,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], schema: StoreSchema) -> Layout:
        """Return the layout of JSON values, of a store with a schema."""
        steps = {
            name: StepSource(feature, first, schema.steps[name])
            for name, (feature, first) in value["steps"].items()
        }
        images = {
            name: ImageSource(feature, kind, schema.images[name])
            for name, (feature, kind) in value["images"].items()
        }
        return cls(steps, images, value["has_ends"], value["has_success"])


def layout_for(
    schema: StoreSchema,
    *,
    state: Sequence[str] | None,
    images: str,
    has_ends: bool,
    has_success: bool,
) -> Layout:
    """Return the layout of a store's export.

    Args:
        schema: of the store.
        state: arrays of steps that make `STATE`; None: ``observation`` or its parts, or else all
            datapacks.
        images: "png" and "video" for RGB images of that kind; "none" for no images.
        has_ends: whether the episodes say how they ended.
        has_success: whether they say if they succeeded.

    Raises:
        UserError: if there is no such array, it does not fit, or two would have the same place.
    """
    chosen = _state(schema, state)
    _joined_type(chosen)
    steps: dict[str, StepSource] = {}
    first = 0
    for name, field in chosen.items():
        steps[name] = StepSource(STATE, first, field)
        first += int(np.prod(field.shape, dtype=int))
    known = {"action": ACTION, "reward": REWARD}
    for name, field in schema.steps.items():
        if name not in chosen:
            steps[name] = StepSource(known.get(name, OWN + name), None, field)
    shown = {} if images == "none" else schema.images
    sources = {name: _image(name, field, images) for name, field in shown.items()}
    layout = Layout(steps, sources, has_ends, has_success)
    _check(layout)
    return layout


def layout_of(features: Mapping[str, Mapping[str, Any]]) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout of a data set from elsewhere, and the features that a store can't hold."""
    steps: dict[str, StepSource] = {}
    images: dict[str, ImageSource] = {}
    left_out = []
    for name, feature in features.items():
        shape, dtype = tuple(feature["shape"]), str(feature["dtype"])
        if name in INDEX or name in (DONE, TRUNCATED, SUCCESS):
            continue
        if dtype in ("image", "video"):
            axes = list(feature.get("names") or ())
            if axes and str(axes[0]).startswith("channel"):
                shape = (*shape[1:], shape[0])
            encoding = default_encoding(shape, np.dtype(np.uint8))
            images[_image_name(name)] = ImageSource(
                name, dtype, ImageField(shape, "uint8", encoding)
            )
        elif dtype in NUMBERS:
            if shape == (1,) and name != ACTION and not name.startswith("observation"):
                shape = ()
            to = "reward" if name == REWARD and "reward" not in features else name
            steps[to] = StepSource(name, None, StepField(shape, dtype))
        else:
            left_out.append(name)
    return Layout(steps, images, TRUNCATED in features, SUCCESS in features), tuple(left_out)


def _image_name(feature: str) -> str:
    name = feature.removeprefix("observation.").removeprefix("images.")
    return name if name.endswith(".rgb") else f"{name}.rgb"


def _state(schema: StoreSchema, names: Sequence[str] | None) -> dict[str, StepField]:
    if names is None:
        floats = [n for n, field in schema.steps.items() if np.dtype(field.dtype).kind == "f"]
        seen = [n for n in floats if n == "observation" or n.startswith("observation.")]
        packs = [n for n in floats if "." in n and not n.startswith(NOT_BEFORE)]
        names = seen or packs or [n for n in ("observation",) if n in schema.steps]
    for name in names:
        if name not in schema.steps:
            raise unknown("array of steps", name, schema.steps, "--state")
    return {name: schema.steps[name] for name in names}


def _joined_type(fields: Mapping[str, StepField]) -> str:
    """Return the type that holds all values exactly."""
    for name, field in fields.items():
        dtype = np.dtype(field.dtype)
        if dtype.kind != "f" and dtype.itemsize > np.dtype(np.int32).itemsize:
            raise UserError(
                f"--state: '{name}' is {field.dtype}, which a vector of floats does not hold."
            )
    kinds = [np.dtype(field.dtype) for field in fields.values()]
    return np.result_type(np.float32, *kinds).name


def _elements(name: str, field: StepField) -> list[str]:
    if not field.shape:
        return [name]
    return [f"{name}.{'.'.join(map(str, at))}" for at in np.ndindex(*field.shape)]


def _image(name: str, field: ImageField, images: str) -> ImageSource:
    if field.dtype != "uint8" or field.shape[2:] != (3,):
        return ImageSource(OWN + name, field.dtype, field)
    if images == "video" and (field.shape[0] % 2 or field.shape[1] % 2):
        raise UserError(
            f"--images video: '{name}' has {field.shape[0]} × {field.shape[1]} pixels; H.264 wants "
            "even sizes: use --images png."
        )
    kind = "video" if images == "video" else "image"
    return ImageSource(IMAGES + name.removesuffix(".rgb"), kind, field)


def _check(layout: Layout) -> None:
    taken = {DONE: "its own", TRUNCATED: "its own", SUCCESS: "its own"}
    sources: dict[str, StepSource | ImageSource] = {**layout.steps, **layout.images}
    for name, source in sources.items():
        if "/" in source.feature:
            raise UserError(f"'{name}': LeRobot allows no '/' in names.")
        if len(source.field.shape) > MOST_AXES:
            raise UserError(f"'{name}' has {source.field.shape}; LeRobot allows {MOST_AXES} axes.")
        other = taken.get(source.feature)
        is_joined = isinstance(source, StepSource) and source.first is not None
        if other is not None and not is_joined:
            raise UserError(f"'{name}' and '{other}' would both be feature '{source.feature}'.")
        taken[source.feature] = name
