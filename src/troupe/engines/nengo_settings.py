"""What a user writes about a Nengo engine; importable without Nengo."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from troupe.core.errors import UserError
from troupe.core.settings import Timestep, UserFile
from troupe.engines.base import EngineSettings

if TYPE_CHECKING:
    from troupe.engines.nengo import NengoEngine


class NengoSettings(EngineSettings):
    """A Nengo network, made by a function ``model`` in a Python file.

    Attributes:
        model: file with ``def model(**parameters)`` that returns a `nengo.Network`, or a tuple of
            the network, a dict of nodes to write and a dict of probes to read, by pack name.
        parameters: for that function.
        simulator: class that runs the network, e.g. ``nengo_loihi:Simulator``.
        simulator_options: for that class.
        timestep: of the simulation.
        packs: labels of the nodes to write and probes to read, by pack name; default: what the
            function returned as dicts, or all labelled ones outside of subnetworks.
        seed: of networks that have none, so that all instances are built the same.
    """

    type: Literal["nengo"] = "nengo"
    model: UserFile
    parameters: dict[str, Any] = {}
    simulator: str = "nengo:Simulator"
    simulator_options: dict[str, Any] = {}
    timestep: Timestep = Fraction(1_000_000)
    packs: dict[str, str] | None = None
    seed: int = 0

    def build(self, name: str, num_instances: int, num_threads: int) -> NengoEngine:
        """Build the network once for each instance and return an engine of them."""
        try:
            import nengo  # noqa: F401
        except ImportError as error:
            message = "Nengo is not installed; install it with: pip install 'troupe[nengo]'"
            raise UserError(f"engines.{name}: {message}.") from error
        from troupe.engines.nengo import NengoEngine

        return NengoEngine(self, name, num_instances)
