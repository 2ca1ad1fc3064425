"""OpenGL contexts without a display."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from troupe.core.errors import EngineError

_PLATFORM = "PYOPENGL_PLATFORM"


def new_context(width: int, height: int) -> Any:
    """Return a context of MuJoCo's, from the first backend that works.

    ``MUJOCO_GL`` chooses one (egl, osmesa, glfw); default: EGL, then OSMesa. The first one that
    is tried is this process's choice, since PyOpenGL is made for one of them when it is imported.

    Raises:
        EngineError: if none works, with what each said.
    """
    reasons = []
    for backend in _backends():
        try:
            with _unchanged(_PLATFORM):
                context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
                context.make_current()
                return context
        # PyOpenGL finds a library missing in many ways
        except (ImportError, AttributeError, RuntimeError, OSError, TypeError) as error:
            reasons.append(f"{backend}: {error}")
    raise EngineError(f"OpenGL does not work here ({'; '.join(reasons) or 'MUJOCO_GL is off'})")


def _backends() -> tuple[str, ...]:
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in ("egl", "osmesa", "glfw", "cgl"):
        return (chosen,)
    if chosen in ("disable", "disabled", "off", "false", "0"):
        return ()
    return ("cgl",) if sys.platform == "darwin" else ("egl", "osmesa")


@contextmanager
def _unchanged(variable: str) -> Iterator[None]:
    """Leave an environment variable as it was: programs that are started inherit it."""
    before = os.environ.get(variable)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before
