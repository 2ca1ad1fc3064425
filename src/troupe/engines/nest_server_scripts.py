"""Scripts that a NEST server runs for the engine.

They are written for servers that restrict scripts too: no imports, no names with underscores, no
unpacking in loops. Those for servers with MPI use `nest_server_ranks`, which the first one brings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError, unknown

# NEST 3.10's server stumbles over NEST's own errors, so scripts catch them
RUN_COMMANDS = """
answers = []
try:
    for command in commands:
        do = command["do"]
        if do == "simulate":
            nest.Simulate(command["duration_ms"])
        elif do == "create":
            made = nest.Create(command["model"], command["count"], params=command["parameters"])
            answers.append(made.tolist())
        elif do == "connect":
            nest.Connect(
                nest.NodeCollection(command["sources"]),
                nest.NodeCollection(command["targets"]),
                command["rule"],
                syn_spec=command["synapse"],
            )
        elif do == "synapses":
            synapses = nest.GetConnections(
                nest.NodeCollection(command["sources"]), nest.NodeCollection(command["targets"])
            )
            found = []
            if len(synapses) == 1:
                found = [[synapses.get(key)] for key in ["source", "target", "weight"]]
            elif len(synapses) > 1:
                found = [list(synapses.get(key)) for key in ["source", "target", "weight"]]
            count = len(synapses)
            # threads give theirs in any order
            ends = [[found[0][i], found[1][i], i] for i in range(count)]
            ends.sort()
            order = [end[2] for end in ends]
            if command["weights"] is not None:
                changes = [None] * count
                for i in range(count):
                    changes[order[i]] = {"weight": command["weights"][i]}
                synapses.set(changes)
            answers.append([found[2][i] for i in order])
        else:
            nodes = nest.NodeCollection(command["nodes"])
            if do == "set":
                nodes.set(command["values"])
            elif do == "get":
                answers.append(nodes.get(command["fields"]))
            elif do == "status":
                answers.append(nodes.get())
            elif do == "events":
                events = nodes.get("events")
                answers.append([list(events["senders"]), list(events["times"])])
                nodes.set([{"n_events": 0}])
            elif do == "settable":
                status = nodes.get()
                settable = []
                for field in status:
                    try:
                        nodes.set([{field: status[field]}])
                    except Exception:
                        continue
                    settable.append(field)
                answers.append(settable)
except Exception as error:
    answers = {"error": str(error)}
"""

_BUILD = """
try:
    troupe_copies = [{call} for troupe_instance in range({count})]
    troupe_built = [[[name, copy[name].tolist()] for name in copy] for copy in troupe_copies]
except Exception as error:
    troupe_built = {{"error": str(error), "lines": []}}
"""

# finds the lines in the user's function, where imports are allowed
_BUILD_UNRESTRICTED = """
def troupe_build():
    import traceback
    try:
        copies = [{call} for troupe_instance in range({count})]
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if f.filename == "<string>"][1:]
        return {{"error": type(error).__name__ + ": " + str(error), "lines": lines}}
    if not all(isinstance(copy, dict) and copy for copy in copies):
        return {{"error": "network() must return a dict of populations", "lines": []}}
    return [[[name, copy[name].tolist()] for name in copy] for copy in copies]
troupe_built = troupe_build()
"""

# mpi_comm is the server's own name for all its processes
_BUILD_MPI = """
def troupe_build():
    import sys
    import types
    ranks = types.ModuleType("troupe_ranks")
    sys.modules["troupe_ranks"] = ranks
    exec(compile({ranks!r}, "troupe_ranks", "exec"), ranks.__dict__)
    return ranks.build(nest, mpi_comm, {text!r}, {call!r}, {count})
troupe_built = troupe_build()
"""

_RUN_MPI = """
def troupe_run():
    import sys
    return sys.modules["troupe_ranks"].run(nest, mpi_comm, commands)
answers = troupe_run()
"""

# 0 where scripts are restricted
MPI_SIZE = """
try:
    troupe_size = mpi_comm.Get_size()
except Exception:
    troupe_size = 0
"""

BUILT = "troupe_built"

_IMPORT = re.compile(r"^(from(?! __future__)|import)\b", re.MULTILINE)


class NetworkScript:
    """A user's network file, as a server runs it.

    Attributes:
        text: of the file.
    """

    def __init__(self, path: Path, parameters: Mapping[str, Any], where: str) -> None:
        """Read the file, without running it.

        Raises:
            UserError: if it is no Python, or has no function ``network``.
        """
        self.text = path.read_text()
        try:
            tree = ast.parse(self.text)
        except SyntaxError as error:
            message = f"{where}: '{path}', line {error.lineno}: {error.msg}"
            raise UserError(message) from error
        functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
        if "network" not in functions:
            raise unknown("name", "network", functions, f"{where}: '{path}'")
        given = functions["network"].args
        names = [a.arg for a in [*given.args, *given.kwonlyargs]]
        if "rng" in names:
            raise UserError(f"{where}: '{path}': network() cannot have 'rng' in a NEST server.")
        arguments = [f"{name}={value!r}" for name, value in parameters.items()]
        if "instance" in names:
            arguments.append("instance=troupe_instance")
        self._call = f"network({', '.join(['nest', *arguments])})"

    def source(self, num_instances: int, restricted: bool) -> str:
        """Return the script that builds the copies and leaves their node ids in `BUILT`."""
        build = _BUILD if restricted else _BUILD_UNRESTRICTED
        # the server leaves out lines that begin with an import, but not what follows a statement
        text = self.text if restricted else _IMPORT.sub(r"pass; \1", self.text)
        return text + "\n" + build.format(call=self._call, count=num_instances)

    def mpi_source(self, num_instances: int) -> str:
        """Return the script for servers with MPI, run in each process, that does the same.

        What it leaves in `BUILT` is a dict with ``error`` and ``lines`` if the file fails.
        """
        ranks = files("troupe.engines").joinpath("nest_server_ranks.py").read_text("utf-8")
        return _BUILD_MPI.format(ranks=ranks, text=self.text, call=self._call, count=num_instances)

    def lines(self, numbers: Sequence[int]) -> str:
        """Return lines of the file, as a traceback shows them."""
        text = self.text.splitlines()
        return "\n".join(
            f"  line {n}: {text[n - 1].strip()}" for n in numbers if 0 < n <= len(text)
        )


def commands_script(commands: Sequence[Mapping[str, Any]], has_mpi: bool = False) -> str:
    """Return the script that carries commands out and leaves what they give in ``answers``.

    If one fails, ``answers`` is ``{"error": message}``.
    """
    run = _RUN_MPI if has_mpi else RUN_COMMANDS
    return f"inf = 1e999\nnan = inf - inf\ncommands = {list(commands)!r}\n{run}"
