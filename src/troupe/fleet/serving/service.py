"""The service that gives clients fleets of an experiment, each one of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from troupe.core.errors import TroupeError, UserError
from troupe.engines.host.grpc_security import authorise
from troupe.engines.host.grpc_server import Certificate
from troupe.engines.host.messages import from_bytes, to_bytes
from troupe.engines.host.security import FLEETS, check_reach
from troupe.engines.host.server import encode_error
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.serving.local import LocalLink
from troupe.fleet.serving.plan import Plan
from troupe.fleet.serving.session import Attachment, Session
from troupe.fleet.serving.wire import METHOD_NAME, PROTOCOL, SERVER_OPTIONS, SERVICE

_SPARE_CALLS = 8
"""Calls beside those of the clients that are served: to be refused, or to take a session over."""

_COMMAND_BYTES = 65_536
_INSTANCE_BYTES = 64


class FleetService:
    """Serves clients until it is stopped.

    Attributes:
        address: where it can be reached, with the scheme.
    """

    def __init__(
        self,
        experiment: Experiment,
        bind: str,
        *,
        group: int | None = None,
        seed: int | None = None,
        token: str | None = None,
        certificate: Certificate | None = None,
        max_clients: int = 1,
        keep_s: float = 60.0,
    ) -> None:
        """Begin to serve.

        Args:
            experiment: whose ``fleet`` says how many instances and workers each client gets.
            bind: host and port to listen at; port 0 for any that is free.
            group: instances of a worker that step together; see `troupe.connect`.
            seed: the root seed of clients that name none; None for the experiment's own.
            token: that clients must show.
            certificate: to serve with TLS.
            max_clients: that are served at the same time.
            keep_s: for how long the fleet of a client is kept whose connection is lost.

        Raises:
            UserError: if the experiment is wrong, others could connect without a token, or the
                address is not free.
        """
        host = bind.rpartition(":")[0]
        check_reach(FLEETS, bind, token)
        if max_clients < 1:
            raise UserError(f"clients: {max_clients}; valid: 1 or more.")
        self._experiment, self._group = experiment, group
        self._seed = Plan(experiment, group, seed).seed
        _, action, _ = specs(experiment)
        self._token, self._max_clients, self._keep_s = token, max_clients, keep_s
        self._sessions: dict[str, Session] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._num_opening = 0
        self._is_open = True
        self._lock = threading.Lock()
        num_calls = 2 * max_clients + _SPARE_CALLS
        self._pool = ThreadPoolExecutor(num_calls, "client")
        # what a client may send at once is bounded, too
        each = action.dtype.itemsize * max(1, action.low.size) + _INSTANCE_BYTES
        largest = _COMMAND_BYTES + each * experiment.fleet.instances
        options = [o for o in SERVER_OPTIONS if o[0] != "grpc.max_receive_message_length"]
        self._server = grpc.server(
            self._pool,
            options=[*options, ("grpc.max_receive_message_length", largest)],
            maximum_concurrent_rpcs=num_calls,
        )
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        handler = grpc.method_handlers_generic_handler(SERVICE, {METHOD_NAME: method})
        self._server.add_generic_rpc_handlers((handler,))
        port = self._listen(bind, certificate)
        self.address = f"{'grpcs' if certificate else 'grpc'}://{host}:{port}"
        self._server.start()

    @property
    def num_clients(self) -> int:
        """How many clients have a fleet now."""
        with self._lock:
            return len(self._sessions) + self._num_opening

    def wait(self) -> None:
        """Wait until the service is stopped."""
        self._server.wait_for_termination()

    def stop(self) -> None:
        """End all connections and fleets."""
        with self._lock:
            self._is_open = False
            sessions, self._sessions = list(self._sessions.values()), {}
            for timer in self._timers.values():
                timer.cancel()
        self._server.stop(None).wait()
        for session in sessions:
            session.close()
        self._pool.shutdown()

    def _listen(self, bind: str, certificate: Certificate | None) -> int:
        try:
            if certificate is None:
                return int(self._server.add_insecure_port(bind))
            credentials = grpc.ssl_server_credentials([(certificate.key, certificate.chain)])
            return int(self._server.add_secure_port(bind, credentials))
        except RuntimeError as error:
            raise UserError(f"cannot listen at '{bind}': {error}") from error

    def _serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Attach a connection to its session."""
        authorise(context, self._token)
        attachment = Attachment()
        session = None
        try:
            start = from_bytes(next(requests)).header
            session = self._session(start)
            if not context.add_callback(attachment.end):
                return
            yield to_bytes(self._attach(session, attachment))
            reader = threading.Thread(target=session.read, args=(requests, attachment), daemon=True)
            reader.start()
            yield from session.replies(attachment, start["received"])
        except (grpc.RpcError, StopIteration):
            return  # the client has gone
        except Exception as error:
            yield to_bytes(encode_error(error, self._experiment.name))
        finally:
            if session is not None:
                self._detach(session, attachment)

    def _session(self, start: Mapping[str, Any]) -> Session:
        """Return the session that a client had, or a new one.

        Raises:
            TroupeError: if there is no such session any more, or there are too many clients.
        """
        if start["protocol"] != PROTOCOL:
            raise UserError(
                f"the server speaks protocol {PROTOCOL}, not {start['protocol']}: install the same "
                "version of Troupe at both ends."
            )
        with self._lock:
            if start["session"] is not None:
                if start["session"] not in self._sessions:
                    raise TroupeError(
                        "the server does not have this client's fleet any more: it was started "
                        f"anew, or the connection was lost for more than {self._keep_s:g} s."
                    )
                return self._sessions[start["session"]]
            if len(self._sessions) + self._num_opening >= self._max_clients or not self._is_open:
                raise TroupeError(
                    f"the server has {self._max_clients} of {self._max_clients} clients "
                    "(--clients)."
                )
            self._num_opening += 1
        session = None
        try:
            seed = self._seed if start["seed"] is None else start["seed"]
            session = Session(LocalLink(Plan(self._experiment, self._group, seed)))
            return session
        finally:
            with self._lock:
                self._num_opening -= 1
                if session is not None:
                    self._sessions[session.id] = session

    def _attach(self, session: Session, attachment: Attachment) -> Any:
        with self._lock:
            timer = self._timers.pop(session.id, None)
            if timer is not None:
                timer.cancel()
            return session.attach(attachment, self._keep_s)

    def _detach(self, session: Session, attachment: Attachment) -> None:
        """Keep the fleet of a client that has gone for a while, or end it if it is over."""
        attachment.end()
        with self._lock:
            if session.attachment not in (attachment, None) and not session.is_over:
                return  # another connection serves it
            session.attachment = None
            if not session.is_over and self._is_open:
                timer = threading.Timer(self._keep_s, self._expire, (session,))
                timer.daemon = True
                self._timers[session.id] = timer
                timer.start()
                return
            self._sessions.pop(session.id, None)
        session.close()

    def _expire(self, session: Session) -> None:
        with self._lock:
            if session.attachment is not None:
                return
            self._sessions.pop(session.id, None)
            self._timers.pop(session.id, None)
        session.close()
