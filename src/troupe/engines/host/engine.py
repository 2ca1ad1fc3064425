"""An engine that runs elsewhere, as if it were here."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import EngineError, unknown
from troupe.engines.base import EngineSpec, Fault, check_pack
from troupe.engines.host.messages import Arrays, Message, ids_to_json, join, split
from troupe.engines.host.server import decode_faults


class Link(Protocol):
    """The way to an engine elsewhere; any error ends the link and the engine's processes.

    Attributes:
        spec: the engine's.
        outputs: the packs after the last message that was received.
    """

    spec: EngineSpec
    outputs: Mapping[str, npt.NDArray[Any]]

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None) -> None:
        """Keep a value that the engine is given with the next message."""

    def send(self, message: Message) -> None:
        """Begin a call of the engine, after what was written."""

    def poll(self) -> bool:
        """Return at once whether `receive` would not wait."""

    def receive(self) -> Message:
        """Wait for the end of the call that was begun.

        Raises:
            EngineError: if the engine crashed, hangs for longer than its timeout, or raised.
            UserError: if it raised one.
        """

    def close(self) -> None:
        """End the engine and all of its processes; may be called again."""

    def kill(self) -> None:
        """End the engine without waiting for it, from any thread."""


class HostedEngine:
    """Passes everything on to an engine in another process or on another machine.

    What is written reaches the engine with its next advance, and errors of it then; unknown packs
    and values of the wrong shape are refused at once. Engines that nobody closes are ended when
    they are garbage or this process ends.
    """

    def __init__(self, link: Link) -> None:
        """Begin to use a link to a new engine."""
        self.spec = link.spec
        self._link = link
        self._faults: Sequence[Fault] = ()
        self._awaits_reply = False
        self._rendered: dict[str, npt.NDArray[Any]] = {}
        self._close = weakref.finalize(self, link.close)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Put instances into their initial state, one seed each."""
        numbers = [int(seed) for seed in seeds]
        self._call({"call": "reset", "seeds": numbers, "instances": ids_to_json(instances)})

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a pack of instances from the next advance that begins."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        if not self._awaits_reply:
            self._rendered = {}
        self._link.write(pack, value, instances)

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance simulated time there, and wait for it."""
        if instances is None:
            self.begin(duration_ns)
            self.finish()
            return
        header = {"call": "advance", "duration_ns": int(duration_ns)}
        self._call(header | {"instances": ids_to_json(instances)})

    def begin(self, duration_ns: int) -> None:
        """Start to advance all instances, with what was written so far."""
        self._send(Message({"call": "advance", "duration_ns": int(duration_ns)}))

    def poll(self) -> bool:
        """Return at once whether `finish` would not wait, also because it would raise."""
        return self._link.poll()

    def finish(self) -> None:
        """Wait for the advance that was begun; the packs are then those after it."""
        assert self._awaits_reply, "no advance was begun"
        self._receive()

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values after the last call, (num_instances, ...).

        Images are rendered there now, and kept until something changes; while the engine advances
        those can be read that were read before.
        """
        try:
            return self._link.outputs[pack]
        except KeyError:
            if pack in self.spec.rendered:
                return self._render(pack)
            raise unknown("datapack", pack, self.spec.outputs, self.spec.name) from None

    def faults(self) -> Sequence[Fault]:
        """Return the instances that failed in the last advance."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances."""
        return split("state", self._call({"call": "snapshot"}).arrays)

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances to a snapshot's state, bit for bit."""
        header = {"call": "restore", "instances": ids_to_json(instances)}
        self._call(header, join("state", snapshot))

    def close(self) -> None:
        """End the engine and all of its processes, with force if it does not end by itself."""
        self._close()

    def kill(self) -> None:
        """End the engine at once, from any thread; `close` is still to be called."""
        self._link.kill()

    def _render(self, pack: str) -> npt.NDArray[Any]:
        if pack not in self._rendered:
            if self._awaits_reply:
                raise EngineError(
                    f"{self.spec.name}.{pack} is rendered when it is read, but the engine advances "
                    "now: let a function read it when the engine synchronises."
                )
            kept = self._rendered
            value = self._call({"call": "read", "pack": pack}).arrays["value"]
            self._rendered = {**kept, pack: value}
        return self._rendered[pack]

    def _call(self, header: Mapping[str, Any], arrays: Arrays | None = None) -> Message:
        self._send(Message(header, arrays or {}))
        return self._receive()

    def _send(self, message: Message) -> None:
        if self._awaits_reply:
            raise EngineError(
                f"engine '{self.spec.name}' still has a call to finish that was begun, or that was "
                "interrupted."
            )
        self._link.send(message)
        self._awaits_reply = True

    def _receive(self) -> Message:
        try:
            reply = self._link.receive()
        except Exception:
            self._awaits_reply = False
            raise
        self._awaits_reply = False
        self._rendered = {}
        self._faults = decode_faults(reply)
        return reply
