"""One client's fleet, which outlives the client's connection for a while."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc

from troupe.core.errors import TroupeError
from troupe.engines.host.messages import Message, from_bytes, to_bytes
from troupe.engines.host.server import encode_error
from troupe.fleet.serving.batch import Batch, encode_batch, join_batches
from troupe.fleet.serving.ledger import Ledger
from troupe.fleet.serving.local import LocalLink
from troupe.fleet.serving.spec import encode_fleet_spec

_LOOK_EVERY_S = 0.2


class Attachment:
    """A connection of a client to its session."""

    def __init__(self) -> None:
        """Begin."""
        self.is_over = False

    def end(self) -> None:
        """Let whoever serves it stop soon."""
        self.is_over = True


class _Result(NamedTuple):
    """A result that the client may not have yet: its number, its message, of how many instances."""

    number: int
    data: bytes
    num_instances: int


class Session:
    """Applies a client's commands to a fleet, and keeps the results until the client has them.

    There is at most one result of an instance: it is not stepped before its last one was received.

    Attributes:
        id: that only the client knows.
        is_over: the client has ended it, or it has failed.
        attachment: the present connection, None while there is none.
    """

    def __init__(self, link: LocalLink) -> None:
        """Take the fleet."""
        self.id = secrets.token_hex(16)
        self.is_over = False
        self.attachment: Attachment | None = None
        self._link = link
        self._ledger = Ledger(link.spec)
        self._generation = 0
        self._num_awaited = 0
        self._applied = 0
        self._numbered = 0
        self._kept: deque[_Result] = deque()
        self._error: Message | None = None
        self._lock = threading.Lock()
        self._receiving = threading.Lock()

    def attach(self, attachment: Attachment, keep_s: float) -> Message:
        """Serve a connection from now on, and no other, and return what it is told first."""
        if self.attachment is not None:
            self.attachment.end()
        self.attachment = attachment
        spec = encode_fleet_spec(self._link.spec)
        own = {"session": self.id, "applied": self._applied, "keep_s": keep_s}
        return Message({**spec.header, **own}, spec.arrays)

    def read(self, requests: Iterator[bytes], attachment: Attachment) -> None:
        """Apply a connection's commands until it ends."""
        try:
            for data in requests:
                if attachment.is_over:
                    break
                self._apply(from_bytes(data))
        except grpc.RpcError:
            pass  # the client has gone
        except Exception as error:
            self._fail(error)
        if not self.is_over:
            attachment.end()

    def replies(self, attachment: Attachment, received: int) -> Iterator[bytes]:
        """Give a connection the results after the last one that the client has received."""
        while not attachment.is_over:
            with self._lock:
                results = [result for result in self._kept if result.number > received]
            for result in results:
                yield result.data
                received = result.number
            if self._error is not None:
                yield to_bytes(self._error)
            if self.is_over:
                return
            self._receive(attachment)

    def close(self) -> None:
        """End the fleet."""
        self.is_over = True
        with self._receiving:
            self._link.close()

    def _receive(self, attachment: Attachment) -> None:
        """Keep the results that the fleet has next, unless another connection does."""
        with self._receiving:
            if attachment.is_over or self.is_over:
                return
            try:
                arrivals = self._link.receive(_LOOK_EVERY_S)
            except Exception as error:
                self._fail(error)
                return
            with self._lock:
                present = [batch for number, batch in arrivals if number == self._generation]
                if present:
                    self._keep(join_batches(present))

    def _keep(self, batch: Batch) -> None:
        self._ledger.deliver(batch.ids)
        self._num_awaited = max(0, self._num_awaited - len(batch))
        self._numbered += 1
        message = encode_batch(batch)
        own = {
            "number": self._numbered,
            "applied": self._applied,
            "generation": self._generation,
        }
        data = to_bytes(Message({**message.header, **own}, message.arrays))
        self._kept.append(_Result(self._numbered, data, len(batch)))

    def _apply(self, message: Message) -> None:
        header = message.header
        if header["call"] == "close":
            self.is_over = True
            return
        with self._lock:
            while self._kept and self._kept[0].number <= header["received"]:
                self._kept.popleft()
            if header["number"] <= self._applied:  # sent again, as the client could not know
                return
            if header["number"] != self._applied + 1:
                raise TroupeError(f"command {header['number']} came after command {self._applied}.")
            self._applied = header["number"]
            if header["call"] == "reset":
                self._reset(header["seed"], header["generation"])
            else:
                self._send(message.arrays)

    def _reset(self, seed: Any, generation: int) -> None:
        if self._num_awaited:
            raise TroupeError("a reset came before the results of the last one were there.")
        self._generation = generation
        self._num_awaited = self._link.spec.num_instances
        self._kept.clear()
        self._ledger.begin()
        self._link.reset(seed, generation)

    def _send(self, arrays: Any) -> None:
        num_kept = sum(result.num_instances for result in self._kept)
        if num_kept > self._link.spec.num_instances:
            raise TroupeError(f"{num_kept} results were not received, and actions still came.")
        actions, ids = self._ledger.give(arrays["actions"], arrays["ids"])
        self._link.send(actions, ids)

    def _fail(self, error: Exception) -> None:
        self._error = encode_error(error, self._link.spec.experiment)
        self.is_over = True
