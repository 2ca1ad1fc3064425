"""An engine's spec as a message, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.engines.base import EngineSpec
from troupe.engines.host.messages import Arrays, Message

_EXACT = [
    field.name
    for field in fields(EngineSpec)
    if field.name not in ("timestep_ns", "inputs", "outputs", "rendered")
]


def encode_spec(spec: EngineSpec) -> Message:
    """Return a spec's message; bounds are arrays, since JSON has no infinity."""
    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {name: getattr(spec, name) for name in _EXACT}
    header["timestep_ns"] = str(spec.timestep_ns)
    header["rendered"] = spec.rendered
    for side in ("inputs", "outputs"):
        packs: Mapping[str, ArraySpec] = getattr(spec, side)
        header[side] = {pack: _encode_pack(s) for pack, s in packs.items()}
        for pack, s in packs.items():
            arrays |= {f"{side}/{pack}/low": s.low, f"{side}/{pack}/high": s.high}
    return Message({"spec": header}, arrays)


def decode_spec(message: Message) -> EngineSpec:
    """Return the spec of a message."""
    header = message.header["spec"]
    return EngineSpec(
        **{name: header[name] for name in _EXACT},
        timestep_ns=Fraction(header["timestep_ns"]),
        rendered=tuple(header["rendered"]),
        inputs=_decode_packs("inputs", header, message.arrays),
        outputs=_decode_packs("outputs", header, message.arrays),
    )


def _encode_pack(spec: ArraySpec) -> dict[str, Any]:
    return {
        "shape": spec.shape,
        "unit": spec.unit,
        "dtype": spec.dtype.str,
        "names": spec.names,
        "categories": spec.categories,
    }


def _decode_packs(side: str, header: Mapping[str, Any], arrays: Arrays) -> dict[str, ArraySpec]:
    return {
        pack: _decode_pack(described, arrays, f"{side}/{pack}")
        for pack, described in header[side].items()
    }


def _decode_pack(described: Mapping[str, Any], arrays: Arrays, place: str) -> ArraySpec:
    return ArraySpec(
        shape=tuple(described["shape"]),
        unit=described["unit"],
        low=arrays[f"{place}/low"],
        high=arrays[f"{place}/high"],
        dtype=np.dtype(described["dtype"]),
        names=tuple(described["names"]),
        categories=described["categories"],
    )
