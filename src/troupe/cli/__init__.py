"""The command line: one file a command.

Enters: what a user types. Leaves: calls of the packages below, their results on the terminal or
as one JSON object, and exit codes. To add a command, copy `show.py` and add it to `main.py`.
"""

from troupe.cli.main import main

__all__ = ["main"]
