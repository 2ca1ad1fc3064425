"""From a file to a checked configuration."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError, unknown
from troupe.core.settings import validated

from troupe_nrp.config import FunctionConfig, SimulationConfig
from troupe_nrp.engine_configs import ENGINE_TYPES, REFUSED, EngineConfig
from troupe_nrp.functions import NrpFunction
from troupe_nrp.namespace import SharedNamespace
from troupe_nrp.overrides import apply_override

CLOSE = 0.85
"""How much alike two keys are for one to be a misspelling of the other."""


@dataclass(frozen=True)
class Experiment:
    """A configuration and where it stands.

    Attributes:
        config: what it says.
        directory: its folder, in which the simulation works.
    """

    config: SimulationConfig
    directory: Path


def load_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Return the experiment of a configuration file, with overrides.

    Args:
        path: of the file.
        overrides: as `apply_override` takes them.

    Raises:
        UserError: that names the wrong key or value, and the valid ones.
    """
    directory = path.absolute().parent
    values = _read(path)
    for override in overrides:
        apply_override(values, override)
    try:
        return Experiment(_validated(values, directory), directory)
    except UserError as error:
        raise UserError(f"configuration '{path}': {error}") from error


def load_functions(config: SimulationConfig) -> list[NrpFunction]:
    """Return the functions of a configuration's files, the status function last.

    Raises:
        UserError: if a file raises, or has no function of the kind.
    """
    functions = []
    namespace = SharedNamespace(Path.cwd())
    for entry in config.DataPackProcessingFunctions:
        found = _functions_of(entry, "DataPackProcessingFunctions", namespace)
        for function in found:
            if function.kind == "status":
                raise UserError(
                    f"DataPackProcessingFunctions: '{entry.FileName}' has a status function; name "
                    "it under StatusFunction."
                )
        functions += found
    if config.StatusFunction is not None:
        found = _functions_of(config.StatusFunction, "StatusFunction", namespace)
        if [function.kind for function in found] not in ([], ["status"]):
            raise UserError(
                f"StatusFunction: '{config.StatusFunction.FileName}' must have one function with "
                "@StatusFunction()."
            )
        functions += found
    return functions


def _functions_of(
    entry: FunctionConfig, where: str, namespace: SharedNamespace
) -> list[NrpFunction]:
    if not entry.IsActive:
        return []
    found = namespace.execute(entry.FileName, f"{where}: {entry.Name}")
    functions = [function for function in found if isinstance(function, NrpFunction)]
    if not functions:
        raise UserError(
            f"{where}: {entry.Name}: '{entry.FileName}' has no function with @TransceiverFunction, "
            "@PreprocessingFunction or @StatusFunction."
        )
    for function in functions:
        same = [f for f in functions if f.call.__name__ == function.call.__name__]
        alone = len(functions) == 1 or len(same) > 1
        function.label = entry.Name if alone else f"{entry.Name}.{function.call.__name__}"
    return functions


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"configuration '{path}' cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"configuration '{path}' is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UserError(f"configuration '{path}' is not a JSON object.")
    return values


def _validated(values: Mapping[str, Any], directory: Path) -> SimulationConfig:
    entries = values.get("EngineConfigs", [])
    if not isinstance(entries, list):
        raise UserError("EngineConfigs: give a list of engines.")
    engines = [_engine(entry, i, directory) for i, entry in enumerate(entries)]
    names: set[str] = set()
    for engine in engines:
        if engine.EngineName in names:
            raise UserError(f"EngineConfigs: there are two engines '{engine.EngineName}'.")
        names.add(engine.EngineName)
    config = validated(
        SimulationConfig, {**values, "EngineConfigs": engines}, directories=(directory,)
    )
    _refuse_ros(config)
    return config


def _engine(entry: Any, number: int, directory: Path) -> EngineConfig:
    if not isinstance(entry, dict):
        raise UserError(f"EngineConfigs.{number}: give an object.")
    name = entry.get("EngineName", number)
    where = f"EngineConfigs.{name}"
    kind = str(entry.get("EngineType", ""))
    if kind in REFUSED:
        raise UserError(f"{where}.EngineType: '{kind}' does not run on Troupe: {REFUSED[kind]}.")
    if kind not in ENGINE_TYPES:
        raise unknown("EngineType", kind, ENGINE_TYPES, where)
    if kind == "py_sim" and str(entry.get("Simulator", "Opensim")).lower() == "opensim":
        raise UserError(f"{where}.Simulator: OpenSim does not run on Troupe: {REFUSED['opensim']}.")
    cls = ENGINE_TYPES[kind]
    if cls.script_keys:
        _check_misspelled(entry, cls, where)
    _refuse_launch(entry, kind, where)
    return validated(cls, entry, where, (directory,))


def _check_misspelled(entry: Mapping[str, Any], cls: type[EngineConfig], where: str) -> None:
    """Refuse keys that are almost one of the type's: others are the script's own."""
    for key in entry:
        if key not in cls.model_fields and difflib.get_close_matches(
            key, cls.model_fields, n=1, cutoff=CLOSE
        ):
            raise unknown("key", key, cls.model_fields, where)


def _refuse_launch(entry: Mapping[str, Any], kind: str, where: str) -> None:
    for key in ("EngineProcCmd", "EngineProcStartParams"):
        if entry.get(key):
            raise UserError(
                f"{where}.{key}: Troupe starts an engine's process itself; remove the key, or "
                "start the program under ExternalProcesses."
            )
    launch = entry.get("EngineLaunchCommand")
    launch_type = launch.get("LaunchType") if isinstance(launch, dict) else None
    if launch_type == "DockerLauncher":
        raise UserError(
            f"{where}.EngineLaunchCommand.LaunchType: 'DockerLauncher' does not run on Troupe: "
            "engines run without containers; use BasicFork, or remove the key."
        )
    if launch_type == "EmptyLaunchCommand" and kind != "nest_server":
        raise UserError(
            f"{where}.EngineLaunchCommand.LaunchType: 'EmptyLaunchCommand' is for nest_server; an "
            f"engine of type {kind} is started by Troupe."
        )


def _refuse_ros(config: SimulationConfig) -> None:
    for key in ("ROSNode", "ConnectROS", "StartROSNode"):
        if getattr(config, key):
            raise UserError(f"{key}: ROS does not run on Troupe yet: use MQTT, or remove the key.")
