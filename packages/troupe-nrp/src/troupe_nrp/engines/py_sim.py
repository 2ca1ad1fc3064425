"""Scripts that step a simulator."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from troupe.core.errors import UserError, unknown

from troupe_nrp.engines.scripts import EngineScript, ScriptPart
from troupe_nrp.engines.settings import PySimSettings

SIMULATORS = ("OpenAI", "Mujoco", "Bullet")


class Simulator(Protocol):
    """What each simulator does for `SimulatorManager`."""

    def run_step(self, action: Any, timestep_ns: int) -> Any:
        """Apply an action and advance; return what the simulator says of the step, if anything."""

    def reset(self) -> None:
        """Return to the initial state."""

    def shutdown(self) -> None:
        """Release the simulator."""

    def names(self, kind: str) -> list[str]:
        """Return the names of the model's parts of a kind.

        Raises:
            ValueError: if there is no such kind.
        """

    def value(self, name: str, kind: str) -> Any:
        """Return a value of one part.

        Raises:
            ValueError: if there is no such kind or part.
        """

    def values(self, kind: str) -> Any:
        """Return the values of all parts of a kind, by name."""

    def time_s(self) -> float:
        """Return the simulated time."""


class SimulatorManager:
    """A simulator, as scripts use it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Load the simulator and the model that an engine's configuration names.

        Raises:
            UserError: if the simulator or the model cannot be loaded.
        """
        name = str(config.get("Simulator", ""))
        if name not in SIMULATORS:
            raise unknown("Simulator", name, SIMULATORS, "py_sim")
        world = str(config["WorldFileName"])
        visible = bool(config.get("Visualizer")) and has_display()
        extra = dict(config.get("EngineExtraConfigs") or {})
        self._simulator = _open(name, world, visible, extra)

    def run_step(self, action: Any, timestep_ns: int) -> Any:
        """Apply an action and advance by a time step."""
        return self._simulator.run_step(action, timestep_ns)

    def reset(self) -> None:
        """Return to the initial state."""
        self._simulator.reset()

    def shutdown(self) -> None:
        """Release the simulator."""
        self._simulator.shutdown()

    def get_model_properties(self, p_type: str) -> list[str]:
        """Return the names of the model's parts of a kind."""
        return self._simulator.names(p_type)

    def get_model_property(self, p_name: str, p_type: str) -> Any:
        """Return a value of one part."""
        return self._simulator.value(p_name, p_type)

    def get_model_all_properties(self, p_type: str) -> Any:
        """Return the values of all parts of a kind, by name."""
        return self._simulator.values(p_type)

    def get_sim_time(self) -> float:
        """Return the simulated time in seconds."""
        return self._simulator.time_s()


class PySimEngineScript(EngineScript):
    """An engine that steps a simulator, which is there before ``initialize``.

    Attributes:
        sim_manager: the simulator.
    """

    sim_manager: SimulatorManager

    def reset(self) -> None:
        """Return the simulator to its initial state."""
        self.sim_manager.reset()


class PySimPart(ScriptPart):
    """Runs a script that steps a simulator."""

    def __init__(self, settings: PySimSettings, name: str) -> None:
        """Load the script's class."""
        self._simulator_config = {
            "Simulator": settings.simulator,
            "WorldFileName": settings.world,
            "Visualizer": settings.visualizer,
            "EngineExtraConfigs": settings.config.get("EngineExtraConfigs", {}),
        }
        super().__init__(settings.file, settings.config, name, PySimEngineScript)

    def _prepare(self, script: Any) -> None:
        script.sim_manager = SimulatorManager(self._simulator_config)


def has_display() -> bool:
    """Return whether a window can be opened."""
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def world_file(world: str) -> Path:
    """Return the path of a model.

    Raises:
        UserError: if there is no such file.
    """
    path = Path(world)
    if not path.is_file():
        raise UserError(f"WorldFileName: there is no file '{world}' in {Path.cwd()}.")
    return path


def _open(name: str, world: str, visible: bool, extra: Mapping[str, Any]) -> Simulator:
    if name == "OpenAI":
        from troupe_nrp.engines.simulators.openai import OpenAISimulator

        return OpenAISimulator(world, visible, extra)
    if name == "Mujoco":
        from troupe_nrp.engines.simulators.mujoco import MujocoSimulator

        return MujocoSimulator(world_file(world), visible)
    from troupe_nrp.engines.simulators.bullet import BulletSimulator

    return BulletSimulator(world_file(world), visible, extra)
