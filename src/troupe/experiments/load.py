"""Experiments from the catalog, from files and with overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from troupe.core import UserError, plugins
from troupe.core.errors import unknown
from troupe.core.settings import typed, validated
from troupe.experiments.aliases import resolve_aliases
from troupe.experiments.schema import Experiment
from troupe.loop import EventLoopSettings, FixedStepSettings

Description = dict[str, Any]

LOOPS = {"fixed-step": FixedStepSettings, "event": EventLoopSettings}

CATALOG = Path(str(resources.files("troupe.experiments.catalog")))


def catalog_names() -> tuple[str, ...]:
    """Return the names of the bundled experiments, sorted."""
    return tuple(sorted(path.stem for path in CATALOG.glob("*.yaml")))


def trainable_names() -> tuple[str, ...]:
    """Return the names of the bundled experiments that have a task, sorted."""
    return tuple(name for name in catalog_names() if "task" in read_description(name))


def load_experiment(source: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Return the experiment of a catalog name or file, with overrides.

    Args:
        source: a name of the catalog, or the path of a YAML file.
        overrides: each "key.key=value", the value in YAML.

    Raises:
        UserError: if there is no such experiment, or anything in it is wrong.
    """
    return build_experiment(apply_overrides(read_description(source), overrides))


def read_description(source: str | Path) -> Description:
    """Return the plain description of a catalog name or a file.

    A file may build on a catalog experiment: ``base: scara-reach``. Its ``directory``, from which
    the relative paths in it start, is the file's own unless it says otherwise.

    Raises:
        UserError: if there is none, or it is not a mapping.
    """
    path = Path(source)
    if str(source) in catalog_names():
        text = (CATALOG / f"{source}.yaml").read_text()
    elif path.is_file():
        text = _read_text(path)
    elif path.suffix in (".yaml", ".yml"):
        raise UserError(f"experiment file '{source}' does not exist.")
    else:
        raise unknown("experiment", str(source), catalog_names())
    description: Description = _parse_yaml(text, str(source))
    if not isinstance(description, dict):
        raise UserError(f"{source}: an experiment is a mapping of keys to values.")
    if "base" in description:
        base = description.pop("base")
        if base not in catalog_names():
            raise unknown("experiment", str(base), catalog_names(), f"{source}: base")
        description = _over(read_description(base), description)
    if path.is_file():
        description.setdefault("directory", str(path.parent.absolute()))
    return description


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Description:
    """Return a description with another's values over it, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _over(base: Mapping[str, Any], over: Mapping[str, Any]) -> Description:
    """Merge; of a learner that becomes one of another type, the keys that it lacks are left out."""
    below, learner = base.get("learner"), over.get("learner")
    if isinstance(below, Mapping) and isinstance(learner, Mapping):
        name = learner.get("type", below.get("type"))
        if name != below.get("type") and name in plugins.names("troupe.learners"):
            fields = plugins.load("troupe.learners", name).model_fields
            base = {**base, "learner": {k: v for k, v in below.items() if k in fields}}
    return merge(base, over)


def nested(keys: Sequence[str], value: Any) -> Description:
    """Return a description with nothing but a value, at the end of a path of keys."""
    for key in reversed(keys):
        value = {key: value}
    description: Description = value
    return description


def apply_overrides(description: Description, overrides: Iterable[str]) -> Description:
    """Return a description with "key.key=value" settings over it.

    Raises:
        UserError: if an override has no "=" or its value is not YAML.
    """
    given: Description = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise UserError(f"override '{override}': write key=value, e.g. learner.gamma=0.98.")
        value = _parse_yaml(text, f"override '{override}'")
        given = merge(given, nested(key.strip().split("."), value))
    return _over(description, given)


def build_experiment(description: Mapping[str, Any]) -> Experiment:
    """Return the validated experiment of a plain description.

    Args:
        description: mappings, lists and values, as YAML holds them. Relative paths of files start
            from its ``directory``, default the working directory, or else from the catalog.

    Raises:
        UserError: that names the wrong key or value, where it stands, and the valid ones.
    """
    values = resolve_aliases(dict(description))
    directory = values.pop("directory", Path.cwd())
    if not isinstance(directory, str | Path):
        raise UserError(f"directory: give a path, not {directory!r}.")
    directories = (Path(directory), CATALOG)
    engines = values.get("engines")
    if isinstance(engines, dict):
        values["engines"] = {
            name: typed("troupe.engines", engine, f"engines.{name}", directories)
            for name, engine in engines.items()
        }
    if "loop" in values:
        values["loop"] = _loop(values["loop"], directories)
    for section in ("task", "learner"):
        if values.get(section) is not None:
            values[section] = typed(f"troupe.{section}s", values[section], section, directories)
    if isinstance(fleet := values.get("fleet"), Mapping) and fleet.get("merge") is not None:
        merged = typed("troupe.merges", fleet["merge"], "fleet.merge", directories)
        values["fleet"] = {**fleet, "merge": merged}
    return validated(Experiment, values, directories=directories)


def _loop(value: Any, directories: Sequence[Path]) -> Any:
    """Return the settings of the loop, a fixed-step one unless it says otherwise."""
    if isinstance(value, tuple(LOOPS.values())):
        return value
    if not isinstance(value, Mapping):
        raise UserError(f"loop: give a mapping, e.g. {{step: 20ms}}, not {value!r}.")
    name = str(value.get("type", "fixed-step"))
    if name not in LOOPS:
        raise unknown("loop", name, LOOPS, "loop.type")
    return validated(LOOPS[name], value, "loop", directories)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"experiment file '{path}' cannot be read: {error}.") from error


class _Loader(yaml.SafeLoader):
    """Loads YAML safely; two values under one key are an error, not the last one."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: list[Any] = []
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in keys:
            line = key_node.start_mark.line + 1
            raise UserError(f"line {line}: '{key}' stands twice in the same mapping.")
        keys.append(key)
    return loader.construct_mapping(node)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error
