"""``troupe doctor``: whether this machine has what Troupe needs, and what mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.output import print_json
from troupe.core.errors import UserError
from troupe.core.machine import num_cores

MIN_FREE_GIB = 2.0


@dataclass(frozen=True)
class Check:
    """What was found, and the command that mends it where it is not well.

    Attributes:
        name: of what was looked at.
        found: in words.
        mend: a command, or None where all is well.
    """

    name: str
    found: str
    mend: str | None = None


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this machine; each finding that is not well comes with what mends it."""
    checks = [check() for check in CHECKS]
    if as_json:
        print_json({"checks": [vars(check) for check in checks]})
    else:
        for check in checks:
            mark = "ok  " if check.mend is None else "MEND"
            print(f"{mark}  {check.name}: {check.found}")
            if check.mend is not None:
                print(f"      {check.mend}")
    if any(check.mend for check in checks):
        raise typer.Exit(1)


def _python() -> Check:
    found = sys.version.split()[0]
    old = sys.version_info < (3, 11)
    return Check("Python", found, "install Python 3.11 or newer, then: make setup" if old else None)


def _cores() -> Check:
    return Check("cores", str(num_cores()))


def _packages() -> Check:
    versions, missing = [], []
    for package in ("mujoco", "jax", "ray", "gymnasium", "pyarrow"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    mend = f"pip install {' '.join(missing)}" if missing else None
    return Check("packages", ", ".join(versions), mend)


def _physics() -> Check:
    try:
        import mujoco
        from mujoco.batch import Batch
    except ImportError as error:
        return Check("MuJoCo", f"cannot be imported: {error}", "pip install 'mujoco>=4'")
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    batch = Batch(model, 2, 0)
    batch.step()
    return Check("MuJoCo", f"{mujoco.__version__}, {batch.nthread} native threads")


def _rendering() -> Check:
    # elsewhere, because MuJoCo chooses how to render when it is imported
    code = (
        "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).close()"
    )
    environment = {"MUJOCO_GL": "egl", **os.environ}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Check("EGL", "headless rendering works")
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    mend = "apt-get install libegl1 libgl1-mesa-dri  (only needed for images)"
    return Check("EGL", f"no headless rendering: {reason}", mend)


def _ray() -> Check:
    try:
        from troupe.fleet.cluster import check_address

        address = check_address(None)
    except ImportError as error:
        return Check("Ray", f"cannot be imported: {error}", "pip install 'ray[default,tune]'")
    except UserError as error:
        return Check("Ray", str(error), "ray start --head, or unset RAY_ADDRESS to use no cluster")
    return Check("Ray", "starts when workers are asked for" if address == "local" else address)


def _brains() -> Check:
    from importlib.util import find_spec

    names = {"nest": "NEST", "pyNN": "PyNN", "nengo": "Nengo", "pybullet": "pybullet"}
    names["ompl"] = "OMPL"
    missing = [words for module, words in names.items() if find_spec(module) is None]
    found = f"not installed: {', '.join(missing)}; pip install 'troupe[all]'" if missing else "all"
    if "NEST" not in missing:
        from troupe.engines.nest_settings import describe_nest

        found = f"{describe_nest()}; {found}" if missing else describe_nest()
    return Check("brains and other engines", found)


def _brain_processes() -> Check:
    from troupe.engines.nest_server_mpi import describe_mpi

    return Check("NEST in MPI processes", describe_mpi())


def _disk() -> Check:
    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    mend = None if free_gib > MIN_FREE_GIB else "free some space, or run in another directory"
    return Check("disk", f"{free_gib:.1f} GiB free here", mend)


CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _cores,
    _packages,
    _physics,
    _rendering,
    _ray,
    _brains,
    _brain_processes,
    _disk,
)
