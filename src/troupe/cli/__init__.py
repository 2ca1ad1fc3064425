"""The command line: one file a command.

Enters: what a user types. Leaves: calls of the packages below, their results on the terminal or
as one JSON object, and exit codes. To add a command, copy `show.py` and add it to `main.py`.
"""

import sys


def entry() -> None:
    """Run the command that was typed; Ctrl-C while commands are imported ends quietly, too."""
    try:
        from troupe.cli.main import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
