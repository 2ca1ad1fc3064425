"""What a user writes about an engine that is a Python class of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from troupe.core.settings import Timestep, UserFile
from troupe.engines.base import EngineSettings

if TYPE_CHECKING:
    from troupe.engines.script_engine import ScriptEngine


class ScriptSettings(EngineSettings):
    """A class in a Python file that derives from `troupe.engines.script.Script`.

    Attributes:
        file: that defines the class.
        class_name: of the class; may be left out if the file defines one only.
        timestep: simulated time of one call of the class's ``step``; default: the whole of each
            advance in one call.
        parameters: for the class's ``setup``, and its ``self.parameters``.
    """

    type: Literal["script"] = "script"
    file: UserFile
    class_name: str | None = None
    timestep: Timestep | None = None
    parameters: dict[str, Any] = {}

    def build(self, name: str, num_instances: int, num_threads: int) -> ScriptEngine:
        """Load the file, make an object of its class and return an engine of it."""
        from troupe.engines.script_engine import ScriptEngine

        return ScriptEngine(self, name, num_instances)
