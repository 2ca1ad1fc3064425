"""The service that runs engines for other machines, each in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import grpc

from troupe.core import plugins
from troupe.core.errors import UserError
from troupe.core.settings import validated
from troupe.engines.base import EngineSettings
from troupe.engines.host.cameras import hosted
from troupe.engines.host.engine import HostedEngine
from troupe.engines.host.grpc_security import authorise
from troupe.engines.host.grpc_wire import METHOD_NAME, PROTOCOL, SERVER_OPTIONS, SERVICE
from troupe.engines.host.launch import CLOSE_S
from troupe.engines.host.messages import Message, from_bytes, join, to_bytes
from troupe.engines.host.process import ProcessLink
from troupe.engines.host.security import ENGINES, check_reach
from troupe.engines.host.server import encode_error, handle
from troupe.engines.host.specs import encode_spec

MAX_ENGINES = 1024


@dataclass(frozen=True)
class Certificate:
    """What a server shows to its clients.

    Attributes:
        chain: the certificate, PEM.
        key: its private key, PEM.
    """

    chain: bytes
    key: bytes


class EngineService:
    """Serves engines until it is stopped.

    Attributes:
        address: where it can be reached, with the scheme.
    """

    def __init__(
        self, bind: str, token: str | None = None, certificate: Certificate | None = None
    ) -> None:
        """Begin to serve.

        Args:
            bind: host and port to listen at; port 0 for any that is free.
            token: that clients must have.
            certificate: to serve with TLS.

        Raises:
            UserError: if others could connect without a token, or the address is not free.
        """
        check_reach(ENGINES, bind, token)
        self._token = token
        self._pool = ThreadPoolExecutor(MAX_ENGINES, "engine")
        self._server = grpc.server(self._pool, options=SERVER_OPTIONS)
        method = grpc.stream_stream_rpc_method_handler(self._host)
        handler = grpc.method_handlers_generic_handler(SERVICE, {METHOD_NAME: method})
        self._server.add_generic_rpc_handlers((handler,))
        port = self._listen(bind, certificate)
        scheme = "grpcs" if certificate else "grpc"
        self.address = f"{scheme}://{bind.rpartition(':')[0]}:{port}"
        self._server.start()

    def wait(self) -> None:
        """Wait until the service is stopped."""
        self._server.wait_for_termination()

    def stop(self) -> None:
        """End all streams and close their engines."""
        self._server.stop(None).wait()
        self._pool.shutdown()

    def _listen(self, bind: str, certificate: Certificate | None) -> int:
        try:
            if certificate is None:
                return int(self._server.add_insecure_port(bind))
            pair = (certificate.key, certificate.chain)
            credentials = grpc.ssl_server_credentials([pair])
            return int(self._server.add_secure_port(bind, credentials))
        except RuntimeError as error:
            raise UserError(f"cannot listen at '{bind}': {error}") from error

    def _host(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Build the engine that the first message describes, and apply the others to it."""
        authorise(context, self._token)
        name = ""
        try:
            start = from_bytes(next(requests)).header
            name = start["name"]
            with closing(_open(start)) as engine:
                context.add_callback(lambda: _kill_if_it_stays(engine))
                yield to_bytes(_with_packs(engine, encode_spec(engine.spec)))
                for data in requests:
                    yield to_bytes(_with_packs(engine, handle(engine, from_bytes(data))))
        except (grpc.RpcError, StopIteration):
            return  # the client has gone
        except Exception as error:
            yield to_bytes(encode_error(error, name))


def _open(start: Mapping[str, Any]) -> HostedEngine:
    name = start["name"]
    if start["protocol"] != PROTOCOL:
        raise UserError(
            f"engines.{name}.host: the server speaks protocol {PROTOCOL}, not {start['protocol']}: "
            "install the same version of Troupe at both ends."
        )
    where = f"engines.{name}"
    cls: type[EngineSettings] = plugins.load("troupe.engines", start["type"], f"{where}.type")
    settings = validated(cls, start["settings"], where)
    return hosted(ProcessLink(settings, name, start["num_instances"], start["num_threads"]))


def _with_packs(engine: HostedEngine, message: Message) -> Message:
    rendered = engine.spec.rendered
    packs = {pack: engine.read(pack) for pack in engine.spec.outputs if pack not in rendered}
    return Message(message.header, {**message.arrays, **join("output", packs)})


def _kill_if_it_stays(engine: HostedEngine) -> None:
    """End an engine whose stream has ended, if it does not close by itself, e.g. as it hangs."""
    timer = threading.Timer(CLOSE_S, engine.kill)
    timer.daemon = True
    timer.start()
