import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

CLOCK = """
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("time")
        self._setDataPack("time", {"ns": self._time_ns})
        self._registerDataPack("heard")

    def runLoop(self, timestep_ns):
        self._setDataPack("time", {"ns": self._time_ns, "step": timestep_ns})

    def shutdown(self):
        pass
"""
"""An engine that tells its time and can be told something."""

Write = Callable[..., Path]


@pytest.fixture
def write_experiment(tmp_path: Path) -> Write:
    """Write a configuration and files, and return the configuration's path."""

    def write(config: dict[str, Any], **files: str) -> Path:
        for name, text in {"clock": CLOCK, **files}.items():
            (tmp_path / f"{name}.py").write_text(dedent(text))
        path = tmp_path / "simulation_config.json"
        path.write_text(json.dumps(config))
        return path

    return write


@pytest.fixture
def engine() -> Callable[..., dict[str, Any]]:
    """Return the entry of an engine in Python."""

    def entry(name: str, file: str = "clock", **keys: Any) -> dict[str, Any]:
        return {
            "EngineName": name,
            "EngineType": "python_json",
            "PythonFileName": f"{file}.py",
            **keys,
        }

    return entry


@pytest.fixture
def function() -> Callable[..., dict[str, Any]]:
    """Return the entry of a function's file."""
    return lambda name, **keys: {"Name": name, "FileName": f"{name}.py", **keys}
