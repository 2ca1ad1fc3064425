"""Calls to a NEST server over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from troupe.core.errors import EngineError, UserError


class NestServerError(EngineError):
    """The server said that NEST, or the script, failed.

    Attributes:
        line: of the script, if the server says so.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        """Keep the server's message and line."""
        super().__init__(message)
        self.line = line


class NestServerClient:
    """A connection to one server."""

    def __init__(self, url: str, token: str, where: str, timeout_s: float | None = None) -> None:
        """Name the server.

        Args:
            url: of it.
            token: that it asks for; empty for none.
            where: the engine, for messages.
            timeout_s: real time that a call may take; None: for ever.
        """
        self.url = url.rstrip("/")
        self._token, self._where, self._timeout_s = token, where, timeout_s

    def version(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what the server says about itself: ``nest`` (version) and ``mpi``."""
        found: dict[str, Any] = self._request("/", None, timeout_s or self._timeout_s)
        return found

    def call(self, function: str, arguments: Any = ()) -> Any:
        """Call a function of PyNEST with positional (list) or keyword (dict) arguments."""
        return self._request(f"/api/{function}", arguments, self._timeout_s)

    def execute(self, source: str, returned: str) -> Any:
        """Run a script in the server and return the value of one of its variables."""
        answer = self._request("/exec", {"source": source, "return": returned}, self._timeout_s)
        return answer.get("data")

    def _request(self, path: str, content: Any, timeout_s: float | None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "NESTServerAuth": self._token}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(path, error.code, error.read()) from error
        except TimeoutError as error:
            raise EngineError(f"{self._where}: {self.url} did not answer in time.") from error
        except (OSError, json.JSONDecodeError) as error:
            reason = getattr(error, "reason", error)
            raise EngineError(
                f"{self._where}: no NEST server answers at {self.url} ({reason})."
            ) from error

    def _refusal(self, path: str, status: int, body: bytes) -> Exception:
        if status == 403 and path == "/exec" and b"disabled" in body:
            return UserError(
                f"{self._where}.url: the server at {self.url} runs no scripts; start it with "
                "NEST_SERVER_ENABLE_EXEC_CALL=true."
            )
        if status == 403:
            return UserError(
                f"{self._where}.token_env: the server at {self.url} does not accept the token."
            )
        try:
            answer = json.loads(body)
            return NestServerError(answer["message"], answer.get("lineNumber"))
        except (ValueError, KeyError, TypeError):
            text = body.decode(errors="replace")[:300]
            return NestServerError(f"the server at {self.url} said {status}: {text}")
