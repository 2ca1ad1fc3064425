"""A NEST kernel behind a NEST server, with the populations that a script names."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from troupe.core.errors import EngineError, UserError
from troupe.engines.base import StepCounter
from troupe.engines.nest_server_client import NestServerClient, NestServerError
from troupe.engines.nest_server_program import NestServerProgram

from troupe_nrp.engines.nest_json import milliseconds
from troupe_nrp.engines.settings import NestServerSettings

START_TIMEOUT_S = 60.0

# written for servers that restrict scripts: no imports, no names with underscores
_POPULATIONS = """
troupenodes = {name: populations[name].tolist() for name in populations}
"""
_CONNECTIONS = """
troupesynapses = {
    name: [troupenodes[connections[name]["source"]], troupenodes[connections[name]["target"]]]
    for name in connections
}
"""
_FOUND = """
troupebuilt = {"nodes": troupenodes, "synapses": troupesynapses}
"""
_HANDLE = """
if synapses is None:
    handle = nest.NodeCollection(nodes)
else:
    handle = nest.GetConnections(
        nest.NodeCollection(synapses[0]), nest.NodeCollection(synapses[1])
    )
"""
_GET = """
status = handle.get()
count = len(handle)
if count == 1:
    answer = [status]
else:
    answer = [{key: status[key][i] for key in status} for i in range(count)]
"""
_SET = """
handle.set(value)
answer = None
"""


class NestServerPart:
    """Has the server run the script, and small scripts of our own for each pack."""

    def __init__(self, settings: NestServerSettings, name: str) -> None:
        """Start or reach the server.

        Raises:
            UserError: if the script is no Python, or has no ``populations``.
            EngineError: if the server does not start or answer.
        """
        self._where = f"engines.{name}"
        self._file, self._seed = settings.file, settings.rng_seed
        self._script = _source(settings, self._where)
        self._program: NestServerProgram | None = None
        timeout_s = settings.timeout / 10**9 if settings.timeout else None
        if settings.url is not None:
            token = os.environ.get(settings.token_env, "")
            self._client = NestServerClient(settings.url, token, self._where, timeout_s)
            self._client.version()
            return
        imports = "; ".join(dict.fromkeys(["import nest", *_imports(self._script)]))
        self._program = NestServerProgram(self._where, imports)
        self._client = NestServerClient(
            self._program.url, self._program.token, self._where, timeout_s
        )
        try:
            self._program.wait(self._client, START_TIMEOUT_S)
        except BaseException:
            self._program.stop()
            raise

    def initialize(self) -> Iterable[str]:
        try:
            built = self._build()
        except BaseException:
            self.shutdown()
            raise
        self._nodes: dict[str, list[int]] = built["nodes"]
        self._synapses: dict[str, list[list[int]]] = built["synapses"]
        resolution_ms = self._client.call("GetKernelStatus", ["resolution"])
        self._resolution_ns: Fraction = milliseconds(resolution_ms)
        self._counter = StepCounter(self._resolution_ns, 1)
        return [*self._nodes, *self._synapses]

    def run(self, duration_ns: int) -> None:
        (steps,) = self._counter.advance(duration_ns)
        if steps.count:
            duration_ms = float(steps.count * self._resolution_ns / 10**6)
            self._checked(lambda: self._client.call("Simulate", [duration_ms]))

    def reset(self) -> None:
        self.initialize()

    def shutdown(self) -> None:
        if self._program is not None:
            self._program.stop()

    def get(self, name: str) -> Any:
        return self._execute(name, _GET)

    def set(self, name: str, value: Any) -> None:
        self._execute(name, f"value = {value!r}\n{_SET}")

    def _execute(self, name: str, script: str) -> Any:
        nodes, synapses = self._nodes.get(name), self._synapses.get(name)
        source = f"nodes = {nodes!r}\nsynapses = {synapses!r}\n{_HANDLE}\n{script}"
        return self._checked(lambda: self._client.execute(source, "answer"))

    def _build(self) -> Any:
        self._client.call("ResetKernel")
        if self._seed:
            self._client.call("SetKernelStatus", [{"rng_seed": self._seed}])
        try:
            return self._client.execute(self._script, "troupebuilt")
        except NestServerError as error:
            lines = self._script.splitlines()
            at = f", line {error.line}" if error.line and error.line <= len(lines) else ""
            raise UserError(
                f"{self._where}.NestInitFileName: '{self._file}'{at} failed in the server: {error}"
            ) from error

    def _checked(self, call: Any) -> Any:
        try:
            return call()
        except NestServerError:
            raise
        except EngineError:
            if self._program is not None:
                self._program.check()  # says why it ended, if it did
            raise


def _source(settings: NestServerSettings, where: str) -> str:
    """Return the user's script, with what it names at its end."""
    text = settings.file.read_text(encoding="utf-8")
    place = f"{where}.NestInitFileName: '{settings.file}'"
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{place}, line {error.lineno}: {error.msg}.") from error
    assigned = {
        target.id
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    if "populations" not in assigned:
        raise UserError(f"{place} has no dict 'populations' of the datapacks' names and nodes.")
    synapses = _CONNECTIONS if "connections" in assigned else "\ntroupesynapses = {}\n"
    # a server that restricts scripts has its modules already
    kept = text if settings.url is None else _without_imports(text, tree)
    return f"{kept}\n{_POPULATIONS}{synapses}{_FOUND}"


def _imports(script: str) -> list[str]:
    found = [s for s in ast.parse(script).body if isinstance(s, ast.Import | ast.ImportFrom)]
    return [ast.unparse(s) for s in found if getattr(s, "module", "") != "__future__"]


def _without_imports(text: str, tree: ast.Module) -> str:
    lines = text.splitlines()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for number in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[number] = ""
    return "\n".join(lines)
