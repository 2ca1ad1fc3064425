"""Tokens and TLS of gRPC connections, and what arrives over them."""

from __future__ import annotations

import hmac
import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import grpc

from troupe.engines.host.security import Access, read_file

Reply: TypeAlias = bytes | grpc.RpcError | None
"""A message, the error with which a connection ended, or None where it ended in order."""


def authorise(context: grpc.ServicerContext, token: str | None) -> None:
    """End a call that does not show the token."""
    if token is None:
        return
    given = str(dict(context.invocation_metadata()).get("authorization", ""))
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        what = "it is another one" if given else "there is none"
        context.abort(grpc.StatusCode.UNAUTHENTICATED, what)


def open_channel(
    access: Access, scheme: str, address: str, options: tuple[tuple[str, int], ...]
) -> grpc.Channel:
    """Return a channel to "host:port", with TLS if the scheme is ``grpcs``.

    Raises:
        UserError: if the file of the certificate authority cannot be read.
    """
    if scheme == "grpc":
        return grpc.insecure_channel(address, options)
    authority = os.environ.get(access.authority)
    certificates = read_file(Path(authority), "certificate authority's") if authority else None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(certificates), options)


def receive(call: Iterator[bytes], replies: queue.SimpleQueue[Reply]) -> None:
    """Put all that a call brings into a queue, and how it ended."""
    try:
        for reply in call:
            replies.put(reply)
    except grpc.RpcError as error:
        replies.put(error)
    else:
        replies.put(None)
