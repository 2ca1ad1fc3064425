"""Where MuJoCo's own messages go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mujoco


def keep_log_out_of_files() -> None:
    """Stop MuJoCo from writing MUJOCO_LOG.TXT into the working directory; it still prints."""
    config = mujoco.MjLogConfig.get()
    config.logto_file = False
    config.set()


@contextmanager
def silent() -> Iterator[None]:
    """Keep MuJoCo from printing, e.g. warnings about models that are not ours."""
    config = mujoco.MjLogConfig.get()
    printing, config.logto_console = config.logto_console, False
    config.set()
    try:
        yield
    finally:
        config.logto_console = printing
        config.set()
