"""What the messages hold: package → message → fields, "type name" in the order of their numbers."""

from __future__ import annotations

Fields = tuple[str, ...]

_ELEMENTS = {
    "String": "string",
    "Bytes": "bytes",
    "Float": "float",
    "Double": "double",
    "Int32": "int32",
    "Int64": "int64",
    "SInt32": "sint32",
    "SInt64": "sint64",
    "UInt32": "uint32",
    "UInt64": "uint64",
    "Bool": "bool",
}

_WRAPPED = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")

PACKAGES: dict[str, dict[str, Fields]] = {
    "Dump": {
        "String": ("string string_stream",),
        "ArrayFloat": ("repeated uint32 dims", "repeated float float_stream"),
    },
    "EngineTest": {
        "TestPayload": ("int32 integer",),
    },
    "Gazebo": {
        "Camera": (
            "uint32 imageWidth",
            "uint32 imageHeight",
            "uint32 imageDepth",
            "bytes imageData",
        ),
        "Link": (
            "repeated float position",
            "repeated float rotation",
            "repeated float linearVelocity",
            "repeated float angularVelocity",
        ),
        "Joint": ("float position", "float velocity", "float effort"),
    },
    "NrpGenericProto": {
        **{
            f"Array{kind}": (f"repeated {element} array", "repeated uint32 shape")
            for kind, element in _ELEMENTS.items()
        },
        "Image": (
            "uint32 height",
            "uint32 width",
            "uint32 step",
            "bool is_bigendian",
            "IMAGE_TYPE type",
            "bytes data",
        ),
    },
    "Wrappers": {f"{kind}Value": (f"{_ELEMENTS[kind]} value",) for kind in _WRAPPED},
}

ENUMS: dict[str, dict[str, Fields]] = {
    "NrpGenericProto": {
        "IMAGE_TYPE": ("UNKNOWN", "RGB8", "RGBA8", "BGR8", "BGRA8", "MONO8", "MONO16"),
    },
}
"""Package → enumeration → names, numbered from 0."""
