"""Modules of messages, as protobuf's compiler makes them."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

from troupe_nrp.messages.definitions import ENUMS, PACKAGES

_Field = descriptor_pb2.FieldDescriptorProto


@cache
def classes(package: str) -> dict[str, Any]:
    """Return the message classes and enumerations of a package, by name."""
    pool = descriptor_pool.Default()
    file = _file(package)
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindFileByName(file.name)
    found: dict[str, Any] = {
        name: message_factory.GetMessageClass(message)
        for name, message in descriptor.message_types_by_name.items()
    }
    for name, enum in descriptor.enum_types_by_name.items():
        found[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        found |= {value.name: value.number for value in enum.values}
    return found


def fill(module: ModuleType, package: str) -> None:
    """Give a module the messages of a package."""
    found = classes(package)
    vars(module).update(found)
    module.__all__ = list(found)  # type: ignore[attr-defined]
    module.DESCRIPTOR = descriptor_pool.Default().FindFileByName(_name(package))  # type: ignore[attr-defined]


def add_modules(parent: str) -> None:
    """Let a package have a module for each package of messages, e.g. ``dump_pb2``."""
    for package in PACKAGES:
        name = f"{package.lower()}_pb2"
        module = ModuleType(f"{parent}.{name}", f"Messages of {package}.")
        fill(module, package)
        sys.modules[module.__name__] = module
        setattr(sys.modules[parent], name, module)


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=_name(package), package=package, syntax="proto3")
    enums = ENUMS.get(package, {})
    for name, values in enums.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in PACKAGES[package].items():
        message = file.message_type.add(name=name)
        for number, text in enumerate(fields, 1):
            *repeated, kind, field_name = text.split()
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in enums:
                field.type, field.type_name = _Field.TYPE_ENUM, f".{package}.{kind}"
            else:
                field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    return file


def _name(package: str) -> str:
    return f"troupe_nrp/{package.lower()}.proto"
