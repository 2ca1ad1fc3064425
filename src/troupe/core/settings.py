"""The base of every settings class, and the types that settings share.

A settings class is what a user can write in an experiment about one part. It lives beside that
part and can be imported without the part's simulator or learner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)

from troupe.core import plugins
from troupe.core.errors import UserError, unknown
from troupe.core.time import exact_duration, format_duration, parse_duration


class Settings(BaseModel):
    """Frozen settings; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, serialize_by_alias=True
    )


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        try:
            duration_ns = parse_duration(value)
        except UserError as error:
            raise ValueError(str(error)) from error
        if duration_ns == 0:
            raise ValueError(f"'{value}' is less than 1ns")
        return duration_ns
    if isinstance(value, int | float):
        raise ValueError(f"{value!r} has no unit: write a number and a unit, e.g. '{value}ms'")
    return value


def _timestep(value: Any) -> Any:
    if isinstance(value, Fraction):
        return value
    _duration(value)  # the same errors
    return exact_duration(value)


def format_timestep(timestep_ns: Fraction) -> str:
    """Return the text of an exact time step, e.g. "2ms" or "1/240s"."""
    if timestep_ns.denominator == 1:
        return format_duration(int(timestep_ns))
    seconds = timestep_ns / 10**9
    return f"{seconds.numerator}/{seconds.denominator}s"


class _Nanoseconds(int):
    """An int that has already been given its unit."""


def nanoseconds(duration_ns: int) -> int:
    """Return a number of nanoseconds that settings accept without a unit."""
    return _Nanoseconds(duration_ns)


def _accept_duration(value: Any) -> Any:
    return int(value) if isinstance(value, _Nanoseconds) else _duration(value)


Duration = Annotated[
    int, BeforeValidator(_accept_duration), PlainSerializer(format_duration, return_type=str)
]
"""Whole nanoseconds, written with a unit: "20ms"."""


def _none_for_zero(value: Any) -> Any:
    is_zero = isinstance(value, str) and re.fullmatch(r"\s*0+(\.0*)?\s*[a-z]+\s*", value)
    return None if is_zero else value


DurationOrNone = Annotated[Duration | None, BeforeValidator(_none_for_zero)]
"""A duration that may be none, also written as 0 with a unit."""

Timestep = Annotated[
    Fraction, BeforeValidator(_timestep), PlainSerializer(format_timestep, return_type=str)
]
"""Exact nanoseconds of a simulator's inner step: "2ms", "1/240s"."""


def _find_file(path: Path, info: ValidationInfo) -> Path:
    return _find(path, info, "file", Path.is_file)


def _find_path(path: Path, info: ValidationInfo) -> Path:
    return _find(path, info, "file or folder", Path.exists)


def _find(path: Path, info: ValidationInfo, kind: str, is_it: Callable[[Path], bool]) -> Path:
    directories = (info.context or {}).get("directories") or (Path.cwd(),)
    for directory in directories:
        if is_it(directory / path):
            # actors and resumed runs look for it from other directories
            return (directory / path).absolute()
    looked = "" if path.is_absolute() else f" in {' or '.join(str(d) for d in directories)}"
    raise ValueError(f"there is no {kind} '{path}'{looked}")


UserPath = Annotated[Path, AfterValidator(_find_path)]
"""An existing file or folder, as `UserFile`."""

UserFile = Annotated[Path, AfterValidator(_find_file)]
"""An existing file, absolute; written relative to the file of the experiment."""


SettingsType = TypeVar("SettingsType", bound=Settings)


def validated(
    cls: type[SettingsType], value: Any, where: str = "", directories: Sequence[Path] = ()
) -> SettingsType:
    """Return settings of a class from what a user wrote.

    Args:
        cls: the settings class.
        value: a mapping, or settings of the class already.
        where: the place in the user's input, e.g. "engines.arm".
        directories: where files with relative paths are looked for; default: the working directory.

    Raises:
        UserError: that names the first wrong key or value and the valid ones.
    """
    try:
        return cls.model_validate(value, context={"directories": directories})
    except ValidationError as error:
        raise _user_error(cls, _first(error), where) from error


Classes = str | Mapping[str, type[Settings]]
"""Settings classes by the name of their type, or the entry-point group that offers them."""


def typed(
    classes: Classes,
    value: Any,
    where: str = "",
    directories: Sequence[Path] = (),
    *,
    kind: str = "type",
    default: str | None = None,
) -> Settings:
    """Return settings of the class that a mapping's ``type`` names.

    Args:
        classes: those that there are.
        value: a mapping, or settings already.
        where: the place in the user's input, e.g. "engines.arm".
        directories: where files with relative paths are looked for; default: the working directory.
        kind: what the classes are, e.g. "distribution"; a group says so itself.
        default: the type of a mapping that names none; default: it has to.

    Raises:
        UserError: that names the first wrong key or value and the valid ones.
    """
    if isinstance(value, Settings):
        return value
    names = plugins.names(classes) if isinstance(classes, str) else tuple(classes)
    if not isinstance(value, Mapping) or (default is None and "type" not in value):
        wanted = "a mapping with a 'type'" if default is None else "a mapping of keys to values"
        place = f"{where}: " if where else ""
        listed = ", ".join(sorted(names))
        raise UserError(f"{place}give {wanted}, not {value!r}. Valid types: {listed}.")
    name, key = str(value.get("type", default)), f"{where}.type" if where else ""
    if isinstance(classes, str):
        cls: type[Settings] = plugins.load(classes, name, key)
    elif name in classes:
        cls = classes[name]
    else:
        raise unknown(kind, name, names, key)
    return validated(cls, value, where, directories)


def by_type(
    classes: Classes, *, kind: str = "type", default: str | None = None
) -> Callable[[Any, ValidationInfo], Any]:
    """Return `typed` as a function for a `BeforeValidator`."""

    def check(value: Any, info: ValidationInfo) -> Any:
        directories = (info.context or {}).get("directories", ())
        try:
            return typed(classes, value, _HERE, directories, kind=kind, default=default)
        except UserError as error:
            raise _InnerError(str(error).removeprefix(_HERE)) from error

    return check


_HERE = "here"


class _InnerError(ValueError):
    """What is wrong in a value, told from where it stands: ".mass: give ..." or ": give ..."."""


def _first(error: ValidationError) -> Any:
    """Return the error to tell: an unknown key, which explains others, or else the first one.

    Of a value that may be of several types it is the error of the type that fits furthest.
    """
    details = error.errors()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            return detail
    same = [d for d in details if d["loc"][:1] == details[0]["loc"][:1]]
    return max(same, key=lambda d: len(d["loc"]))


def _user_error(cls: type[Settings], detail: Any, where: str) -> UserError:
    # pydantic names the type it tried, e.g. "literal['random']", among the keys
    keys = [str(key) for key in detail["loc"] if "[" not in str(key)]
    place = ".".join([*([where] if where else []), *keys])
    if detail["type"] == "extra_forbidden":
        return unknown("key", keys[-1], _fields_at(cls, keys[:-1]), place.rpartition(".")[0])
    inner = detail.get("ctx", {}).get("error")
    if isinstance(inner, _InnerError):
        return UserError(f"{place}{inner}" if place else str(inner).lstrip(".: "))
    given = detail["input"]
    ours = detail["type"] == "value_error"  # such a message says already what was given
    silent = ours or isinstance(given, dict) or detail["type"] == "missing"
    message = detail["msg"].removeprefix("Value error, ").removesuffix(".")
    shown = "" if silent else f", not {given!r}"
    return UserError(f"{f'{place}: ' if place else ''}{message}{shown}.")


def _fields_at(cls: type[Settings], path: list[str]) -> list[str]:
    """Return the keys of the settings class found along a path of fields."""
    for key in path:
        found = cls.model_fields.get(key)
        candidates = get_args(found.annotation) if found is not None else ()
        inner = [found.annotation if found is not None else None, *candidates]
        nested = [c for c in inner if isinstance(c, type) and issubclass(c, Settings)]
        if nested:
            cls = nested[0]
    return [field.alias or name for name, field in cls.model_fields.items()]
