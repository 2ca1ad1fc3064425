"""Python files of the user: networks, functions, engines and tasks of their own."""

from __future__ import annotations

import hashlib
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from troupe.core.errors import UserError, unknown

Base = TypeVar("Base")

_importable: list[Path] = []
"""The users' folders on the import path."""


def load_file(path: Path, where: str) -> ModuleType:
    """Return the module of a Python file, executed anew; its folder can be imported from.

    Args:
        path: of the file.
        where: the place in the user's input, for the message.

    Raises:
        UserError: if the file raises, with the user's own lines.
    """
    name = f"troupe_user_{path.stem}_{hashlib.blake2b(str(path).encode()).hexdigest()[:8]}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{where}: '{path}' is not a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations look their module up
    make_importable(path.parent)
    try:
        spec.loader.exec_module(module)
    except UserError as error:  # a decorator of ours says what is wrong
        sys.modules.pop(name, None)
        raise UserError(f"{where}: '{path}': {error}") from error
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UserError(f"{where}: '{path}' raised:\n{user_traceback(error)}") from error
    return module


def make_importable(folder: Path) -> None:
    """Let Python files of a user's folder be imported, before those of folders given earlier.

    A module of the same name that came from another such folder is forgotten, so that two
    experiments of one process may both have, say, a file `helpers.py`.
    """
    if folder in _importable:
        _importable.remove(folder)
        sys.path.remove(str(folder))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent in _importable and (folder / f"{name}.py").exists():
            del sys.modules[name]
    first = min((sys.path.index(str(other)) for other in _importable), default=len(sys.path))
    sys.path.insert(first, str(folder))
    _importable.append(folder)


def find_in_file(module: ModuleType, name: str, where: str) -> Any:
    """Return what a user's file defines under a name.

    Raises:
        UserError: if there is no such name, with those that there are.
    """
    own = {n: v for n, v in vars(module).items() if _is_own(n, v, module)}
    if name not in own:
        raise unknown("name", name, own, f"{where}: '{module.__file__}'")
    return own[name]


def find_class(
    module: ModuleType, base: type[Base], class_name: str | None, where: str
) -> type[Base]:
    """Return the class of a user's file that derives from one of ours.

    Args:
        module: of the file.
        base: that the class derives from.
        class_name: of the class; None if the file defines one only.
        where: the place in the user's input, which has the keys "file" and "class_name".

    Raises:
        UserError: if there is none, or no telling which.
    """
    kind = f"{base.__module__}.{base.__name__}"
    if class_name is not None:
        found: object = find_in_file(module, class_name, f"{where}.class_name")
        if isinstance(found, type) and issubclass(found, base):
            return found
        raise UserError(f"{where}.class_name: '{class_name}' does not derive from {kind}.")
    classes: dict[str, type[Base]] = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    }
    if len(classes) == 1:
        return next(iter(classes.values()))
    if classes:
        names = ", ".join(sorted(classes))
        message = f"which class of '{module.__file__}'? Valid: {names}."
        raise UserError(f"{where}.class_name: {message}")
    raise UserError(f"{where}.file: '{module.__file__}' has no class that derives from {kind}.")


def user_traceback(error: BaseException) -> str:
    """Return an error's traceback without the lines of Troupe and of the import system."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)
    ]
    lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()


def _is_users(filename: str) -> bool:
    """Whether a line is the user's, or of the bundled experiments, which stand for them."""
    parts = Path(filename).parts
    is_ours = any(part in ("troupe", "troupe_nrp") for part in parts[-6:-1]) and (
        "site-packages" in parts or "src" in parts
    )
    return not filename.startswith("<frozen") and (not is_ours or "catalog" in parts)


def _is_own(name: str, value: Any, module: ModuleType) -> bool:
    is_own = callable(value) and getattr(value, "__module__", None) == module.__name__
    return is_own and not name.startswith("_")
