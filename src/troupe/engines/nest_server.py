"""A NEST kernel behind a NEST server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from troupe.core.arrays import Array, Ids
from troupe.core.errors import EngineError, UserError
from troupe.engines.nest_kernel import Populations, nest_seed
from troupe.engines.nest_server_client import NestServerClient, NestServerError
from troupe.engines.nest_server_mpi import mpi_command
from troupe.engines.nest_server_program import NestServerProgram
from troupe.engines.nest_server_scripts import (
    BUILT,
    MPI_SIZE,
    NetworkScript,
    commands_script,
)
from troupe.engines.nest_server_settings import NestServerSettings

END_TIMEOUT_S = 2.0

Nodes = list[int]


def server_kernel(settings: NestServerSettings, name: str) -> ServerKernel:
    """Return the kernel of the server at the settings' url, or of one that is started.

    Raises:
        UserError: if the network's file has no function ``network``, or the token is wrong.
        EngineError: if the server does not start or answer.
    """
    where = f"engines.{name}"
    script = NetworkScript(settings.network, settings.parameters, f"{where}.network")
    timeout_s = settings.timeout / 10**9 if settings.timeout else None
    if settings.url is not None:
        client = NestServerClient(
            settings.url, os.environ.get(settings.token_env, ""), where, timeout_s
        )
        has_mpi = bool(client.version()["mpi"])
        if has_mpi:
            _require_scripts_of_all(client, where)
        return ServerKernel(settings, where, client, script, None, has_mpi)
    command = None
    if settings.processes > 1:
        command = mpi_command(where, settings.python, settings.mpirun, settings.processes)
    program = NestServerProgram(where, python=settings.python, mpi_command=command)
    client = NestServerClient(program.url, program.token, where, timeout_s)
    try:
        program.wait(client, settings.start_timeout / 10**9)
    except BaseException:
        program.stop()
        raise
    return ServerKernel(settings, where, client, script, program, command is not None)


def _require_scripts_of_all(client: NestServerClient, where: str) -> None:
    if not client.execute(MPI_SIZE, "troupe_size"):
        raise UserError(
            f"{where}.url: the server at {client.url} runs in MPI processes, whose results are put "
            "together by a script that it restricts; start it with "
            "NEST_SERVER_DISABLE_RESTRICTION=true."
        )


class ServerKernel:
    """Collects what is to be done and has the server do it in one script for each advance."""

    errors: tuple[type[Exception], ...] = (NestServerError,)
    releases_gil = True

    def __init__(
        self,
        settings: NestServerSettings,
        where: str,
        client: NestServerClient,
        script: NetworkScript,
        program: NestServerProgram | None,
        has_mpi: bool = False,
    ) -> None:
        """Use a server that answers, with MPI or not; `program` is ended with the kernel."""
        self._settings, self._where = settings, where
        self._client, self._script, self.program = client, script, program
        self._has_mpi = has_mpi
        self._timestep_ms = float(settings.timestep / 10**6)
        self._queue: list[dict[str, Any]] = []
        self._recorders: list[Nodes] = []
        self._events: dict[int, tuple[Ids, Array]] = {}

    def build(self, seeds: Sequence[int]) -> list[Populations]:
        self._queue, self._recorders, self._events = [], [], {}
        client = self._client
        client.call("ResetKernel")
        status = {
            "resolution": self._timestep_ms,
            "local_num_threads": self._settings.threads,
            "rng_seed": nest_seed(seeds[0]),
        }
        if self._has_mpi:
            # after a reset of the kernel, NEST 3.10 sends compressed spikes of three or more
            # processes to wrong neurons
            status["use_compressed_spikes"] = False
        client.call("SetKernelStatus", [status])
        if self._has_mpi:
            source = self._script.mpi_source(len(seeds))
        else:
            source = self._script.source(len(seeds), restricted=self.program is None)
        place = f"{self._where}.network: '{self._settings.network}'"
        try:
            built = self._execute(source, BUILT)
        except NestServerError as error:
            line = self._script.lines([error.line or 0])
            raise UserError(f"{place} failed in the server:\n{line}\n{error}") from error
        if isinstance(built, dict):
            lines = self._script.lines(built["lines"])
            raise UserError(f"{place} failed in the server:\n{lines}\n{built['error']}")
        return [{name: np.asarray(ids, np.int64) for name, ids in copy} for copy in built]

    def nodes(self, ids: Ids) -> Nodes:
        return [int(i) for i in ids]

    def create(self, model: str, count: int, parameters: Mapping[str, Any]) -> Nodes:
        made: Nodes = self._ask(
            {"do": "create", "model": model, "count": count, "parameters": dict(parameters)}
        )
        if model == "spike_recorder":
            self._recorders.append(made)
        return made

    def connect(
        self, sources: Nodes, targets: Nodes, rule: str, synapse: Mapping[str, Any]
    ) -> None:
        self._queue.append(
            {
                "do": "connect",
                "sources": sources,
                "targets": targets,
                "rule": rule,
                "synapse": dict(synapse),
            }
        )

    def get(self, nodes: Nodes, fields: Sequence[str]) -> dict[str, Sequence[Any]]:
        values: dict[str, Any] = self._ask({"do": "get", "nodes": nodes, "fields": list(fields)})
        return values if len(nodes) > 1 else {field: [values[field]] for field in fields}

    def status(self, node: Nodes) -> dict[str, Any]:
        status: dict[str, Any] = self._ask({"do": "status", "nodes": node})
        return status

    def settable(self, node: Nodes) -> tuple[str, ...]:
        return tuple(self._ask({"do": "settable", "nodes": node}))

    def set(self, nodes: Nodes, values: Sequence[Mapping[str, Any]]) -> None:
        self._queue.append({"do": "set", "nodes": nodes, "values": list(values)})

    def synapses(self, sources: Ids, targets: Ids) -> Any:
        return {"sources": self.nodes(sources), "targets": self.nodes(targets)}

    def get_weights(self, synapses: Any) -> Array:
        return np.asarray(self._ask({"do": "synapses", "weights": None, **synapses}), np.float64)

    def set_weights(self, synapses: Any, weights: Array) -> None:
        self._ask({"do": "synapses", "weights": weights.tolist(), **synapses})

    def simulate(self, num_steps: int) -> None:
        commands: list[dict[str, Any]] = [
            {"do": "simulate", "duration_ms": num_steps * self._timestep_ms},
            *({"do": "events", "nodes": recorder} for recorder in self._recorders),
        ]
        events = self._run(commands)
        for recorder, (senders, times) in zip(self._recorders, events, strict=True):
            found = np.asarray(senders, np.int64), np.asarray(times, np.float64)
            self._events[recorder[0]] = found

    def take_events(self, recorder: Nodes) -> tuple[Ids, Array]:
        return self._events[recorder[0]]

    def close(self) -> None:
        if self.program is not None:
            self.program.stop()

    def _ask(self, command: dict[str, Any]) -> Any:
        return self._run([command])[-1]

    def _run(self, commands: list[dict[str, Any]]) -> list[Any]:
        script = commands_script([*self._queue, *commands], self._has_mpi)
        self._queue = []
        answers = self._execute(script, "answers")
        if isinstance(answers, dict):
            raise NestServerError(answers["error"])
        found: list[Any] = answers
        return found

    def _execute(self, source: str, returned: str) -> Any:
        try:
            return self._client.execute(source, returned)
        except NestServerError:
            raise
        except EngineError:
            if self.program is not None:
                self.program.check(END_TIMEOUT_S)  # says why it ended, if it did
            raise
