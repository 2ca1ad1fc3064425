"""Finds a NEST that was built with MPI, and what starts its server in several processes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from troupe.core.errors import UserError

PROGRAM = "nest-server-mpi"
IMPORT_TIMEOUT_S = 60.0

# NEST is asked in a process of its own, which it may end
_INSPECT = """
import json, nest
from importlib.util import find_spec
needed = {"mpi4py": "mpi4py", "docopt": "docopt", "flask": "'nest-simulator[server]'"}
missing = [package for module, package in needed.items() if find_spec(module) is None]
info = nest.build_info
print(json.dumps([info["version"], bool(info["have_mpi"]), missing]))
"""


@dataclass(frozen=True)
class NestBuild:
    """The NEST of one Python interpreter.

    Attributes:
        python: the interpreter.
        version: of NEST; empty if it cannot be imported.
        has_mpi: whether it was built with MPI.
        missing: packages that its server with MPI needs and has not.
        error: why it cannot be imported.
    """

    python: Path
    version: str = ""
    has_mpi: bool = False
    missing: tuple[str, ...] = ()
    error: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        if self.error:
            return f"{self.python} cannot import NEST: {self.error}"
        mpi = "with" if self.has_mpi else "without"
        missing = f", but without {', '.join(self.missing)}" if self.missing else ""
        return f"{self.python} has NEST {self.version} {mpi} MPI{missing if self.has_mpi else ''}"


@cache
def nest_build(python: Path) -> NestBuild:
    """Return what an interpreter's NEST says of itself, asked of another process."""
    environment = {**os.environ, "PYNEST_QUIET": "1", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            [python, "-c", _INSPECT],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=IMPORT_TIMEOUT_S,
        )
        version, has_mpi, missing = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        return NestBuild(python, error=lines[-1] if lines else f"exit code {error.returncode}")
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return NestBuild(python, error=str(error))
    return NestBuild(python, version, has_mpi, tuple(missing))


def nest_builds() -> Iterator[NestBuild]:
    """Find this Python's NEST, then those with a ``nest-server-mpi`` on PATH."""
    pythons = [Path(sys.executable)]
    for folder in os.get_exec_path():
        if (Path(folder) / PROGRAM).is_file():
            beside = Path(folder) / "python3"
            found = str(beside) if beside.is_file() else shutil.which("python3")
            pythons += [Path(found)] if found else []
    seen: set[Path] = set()
    for python in pythons:
        folder_of_it = python.parent.resolve()
        if folder_of_it not in seen:
            seen.add(folder_of_it)
            yield nest_build(python)


def describe_mpi() -> str:
    """Say which NEST can run in several processes here."""
    build = next((build for build in nest_builds() if build.has_mpi), None)
    if build is None:
        return "not possible: no NEST that was built with MPI, here or on PATH"
    return f"{build}{'' if shutil.which('mpirun') else ', but there is no mpirun on PATH'}"


def mpi_command(where: str, python: Path | None, mpirun: str, processes: int) -> list[str]:
    """Return the command that starts a NEST server of several processes, less its options.

    Args:
        where: the engine, for messages.
        python: the interpreter whose NEST is used; default: the first one with MPI that is found.
        mpirun: the program that starts processes, with options.
        processes: how many.

    Raises:
        UserError: if there is no NEST with MPI, or something it needs is missing.
    """
    builds = list(nest_builds()) if python is None else [nest_build(python)]
    build = next((build for build in builds if build.has_mpi), None)
    if build is None:
        raise UserError(
            f"{where}.processes: {processes} processes need a NEST that was built with MPI, which "
            f"wheels are not ({'; '.join(map(str, builds))}). Build one, as "
            "docs/how-to/connect-a-brain.md says, and put its bin/ on PATH or name its "
            f"interpreter as {where}.python; or use one process and 'threads: {processes}'."
        )
    if build.missing:
        missing = " ".join(build.missing)
        raise UserError(f"{where}.processes: {build}: {build.python} -m pip install {missing}")
    beside = build.python.parent / PROGRAM
    program = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if program is None:
        raise UserError(f"{where}.python: there is no '{PROGRAM}' beside {build.python} or on PATH")
    launcher = shlex.split(mpirun)
    path = os.pathsep.join([str(build.python.parent), *os.get_exec_path()])
    launcher_path = shutil.which(launcher[0], path=path) if launcher else None
    if launcher_path is None:
        raise UserError(
            f"{where}.mpirun: there is no program '{mpirun}'; with Open MPI on Debian and Ubuntu: "
            "apt-get install openmpi-bin"
        )
    return [launcher_path, *launcher[1:], "-n", str(processes), str(build.python), program]
