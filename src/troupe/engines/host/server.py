"""Applies messages to an engine: the other side of `troupe.engines.host.engine`."""

from __future__ import annotations

from collections.abc import Sequence

from troupe.core.errors import EngineError, TroupeError, UserError
from troupe.core.user_code import user_traceback
from troupe.engines.base import Engine, Fault
from troupe.engines.host.messages import Message, ids_from_json, join, split
from troupe.engines.host.writes import apply_writes
from troupe.engines.mujoco_camera_settings import CameraEngine


def handle(engine: Engine, message: Message) -> Message:
    """Do with an engine what a message says, and return the reply, without packs."""
    apply_writes(engine, message)
    header = message.header
    instances = ids_from_json(header.get("instances"))
    match header["call"]:
        case "advance":
            engine.advance(header["duration_ns"], instances)
        case "reset":
            engine.reset(header["seeds"], instances)
        case "snapshot":
            return with_faults(engine, Message({}, join("state", engine.snapshot())))
        case "restore":
            engine.restore(split("state", message.arrays), instances)
        case "read":
            return with_faults(engine, Message({}, {"value": engine.read(header["pack"])}))
        case "render" if isinstance(engine, CameraEngine):
            images = engine.render(header["camera"], header["modalities"], instances)
            return with_faults(engine, Message({}, join("image", images)))
        case "cameras" if isinstance(engine, CameraEngine):
            return with_faults(engine, _described(engine))
        case call:
            raise EngineError(f"{engine.spec.name}: there is no call '{call}'.")
    return with_faults(engine, Message({}))


def _described(engine: CameraEngine) -> Message:
    names = {str(id): name for id, name in engine.mask_names().items()}
    return Message({"renderers": dict(engine.renderers()), "mask_names": names})


def with_faults(engine: Engine, message: Message) -> Message:
    """Return a reply that tells the engine's faults, if there are any."""
    faults = engine.faults()
    if not faults:
        return message
    arrays = dict(message.arrays)
    for i, fault in enumerate(faults):
        arrays |= join(f"fault/{i}", fault.last_state)
    told = [[fault.instance, fault.reason] for fault in faults]
    return Message({**message.header, "faults": told}, arrays)


def decode_faults(message: Message) -> Sequence[Fault]:
    """Return the faults that a reply tells."""
    told = message.header.get("faults", ())
    return [
        Fault(instance, reason, split(f"fault/{i}", message.arrays))
        for i, (instance, reason) in enumerate(told)
    ]


def encode_error(error: Exception, engine: str) -> Message:
    """Return the reply that tells an error."""
    if isinstance(error, TroupeError):
        text = str(error)
    else:
        text = f"engine '{engine}' raised:\n{user_traceback(error)}"
    return Message({"error": text, "is_user_error": isinstance(error, UserError)})


def decode_error(message: Message) -> TroupeError | None:
    """Return the error that a reply tells, None if it tells none."""
    if "error" not in message.header:
        return None
    kind = UserError if message.header["is_user_error"] else EngineError
    return kind(message.header["error"])
