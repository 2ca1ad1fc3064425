"""The namespace that files of functions and nodes share, so that one sees the variables of all."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from troupe.core.errors import UserError
from troupe.core.user_code import make_importable, user_traceback

from troupe_nrp.functions import collecting


class SharedNamespace:
    """Executes files one after the other, as NRP-core does in its one interpreter."""

    def __init__(self, directory: Path) -> None:
        """Begin with an empty namespace.

        Args:
            directory: of the experiment.
        """
        suffix = hashlib.blake2b(str(directory).encode()).hexdigest()[:8]
        self._module = ModuleType(f"troupe_nrp_user_{suffix}")
        sys.modules[self._module.__name__] = self._module  # dataclasses look their module up

    def execute(self, path: Path, where: str) -> list[Any]:
        """Execute a file; its folder can be imported from.

        Args:
            path: of the file.
            where: the place in the configuration, for the message.

        Returns:
            What its decorators made, in order.

        Raises:
            UserError: if the file raises, with the user's own lines.
        """
        make_importable(path.parent)
        self._module.__file__ = str(path)
        with collecting() as found:
            try:
                code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
                exec(code, vars(self._module))
            except Exception as error:
                raise UserError(f"{where}: '{path}' raised:\n{user_traceback(error)}") from error
        return found
