"""Where things are added to a MuJoCo model that the user has named in the settings."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco

from troupe.core.errors import UserError, unknown


def body_of_new(
    kind: str, name: str, body: str | None, there: Iterable[str], spec: mujoco.MjSpec, where: str
) -> mujoco.MjsBody:
    """Return the body that something new is to be fixed to.

    Args:
        kind: of what is new, ``camera``.
        name: that it is to have.
        body: name of the body; None for the world.
        there: names of that kind which the model has already.
        spec: of the model.
        where: the place in the user's input, for the message.

    Raises:
        UserError: if the name is taken or there is no such body.
    """
    if name in there:
        raise UserError(
            f"{where}: the model has a {kind} '{name}' already: use it with '{kind}: {name}', or "
            "give yours another name."
        )
    found = spec.worldbody if body is None else spec.body(body)
    if found is None:
        raise unknown("body", str(body), [b.name for b in spec.bodies if b.name], f"{where}.body")
    return found
