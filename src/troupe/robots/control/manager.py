"""Which controllers there are, which of them command, and nobody twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError, unknown
from troupe.robots.control.controller import Controller, Times

State = Literal["active", "inactive"]


@dataclass(frozen=True)
class ControllerState:
    """A line of the list of controllers.

    Attributes:
        name: under which it was loaded.
        type: name of its class.
        state: whether it commands.
        claimed_joints: that it commands, or would.
    """

    name: str
    type: str
    state: State
    claimed_joints: tuple[str, ...]


class ControllerManager:
    """Lets controllers take turns with an arm's joints, as controller_manager does."""

    def __init__(self) -> None:
        """Begin without controllers."""
        self._controllers: dict[str, Controller[Any]] = {}
        self._active: dict[str, None] = {}

    def load(self, name: str, controller: Controller[Any]) -> None:
        """Add a controller, inactive: its goals are cancelled, and it refuses others.

        Raises:
            UserError: if the name is taken.
        """
        if name in self._controllers:
            raise UserError(f"a controller '{name}' is loaded already.")
        controller.cancel()
        controller.is_stopped = True
        self._controllers[name] = controller

    def controller(self, name: str) -> Controller[Any]:
        """Return a controller, to send goals to.

        Raises:
            UserError: if there is none of that name.
        """
        if name not in self._controllers:
            raise unknown("controller", name, self._controllers)
        return self._controllers[name]

    def list_controllers(self) -> list[ControllerState]:
        """Return all controllers, in the order in which they were loaded."""
        return [
            ControllerState(name, type(found).__name__, self._state(name), found.claims)
            for name, found in self._controllers.items()
        ]

    def switch(
        self,
        activate: Sequence[str] = (),
        deactivate: Sequence[str] = (),
        *,
        read: Callable[[str], npt.NDArray[Any]],
    ) -> None:
        """Stop some controllers and let others begin, all or none.

        The goals of those that stop are cancelled; those that begin hold what they find.

        Args:
            activate: names.
            deactivate: names.
            read: from the name of a pack to its values, such as an engine's.

        Raises:
            UserError: if there is no such controller, or two active ones would claim a joint.
        """
        for name in (*activate, *deactivate):
            self.controller(name)
        stays = [name for name in self._active if name not in deactivate]
        claimed: dict[str, str] = {}
        for name in dict.fromkeys((*stays, *activate)):
            for joint in self._controllers[name].claims:
                if joint in claimed:
                    raise UserError(f"'{claimed[joint]}' and '{name}' both claim joint '{joint}'.")
                claimed[joint] = name
        for name in deactivate:
            self._controllers[name].cancel()
            self._controllers[name].is_stopped = True
            self._active.pop(name, None)
        for name in activate:
            if name not in self._active:
                controller = self._controllers[name]
                controller.hold(read(controller.reads[0]))
                controller.is_stopped = False
                self._active[name] = None

    def update(
        self,
        now_ns: int | Times,
        read: Callable[[str], npt.NDArray[Any]],
        write: Callable[[str, Array], None],
    ) -> None:
        """Let the active controllers read what is measured and write their commands.

        Args:
            now_ns: the time, one for all instances or (N,).
            read: from the name of a pack to its values, such as an engine's.
            write: gives a pack values, such as an engine's.
        """
        for name in self._active:
            controller = self._controllers[name]
            measured = [read(pack) for pack in controller.reads]
            write(controller.writes, controller.update(now_ns, *measured))

    def _state(self, name: str) -> State:
        return "active" if name in self._active else "inactive"
