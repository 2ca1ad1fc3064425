"""The program of a worker's process; it is run as a script, by `processes`.

It steps groups of instances for the process at the other end of a socket, and ends with it.
"""

import faulthandler
import json
import os
import signal
import socket
import sys


def main() -> None:
    """Step groups for the process at the other end of a socket."""
    descriptor, parent, path = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    os.set_inheritable(descriptor, False)
    faulthandler.enable()
    # ends as an error does: the engines are closed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.argv[1:] = []
    sys.path[:] = path
    from troupe.engines.host.child import end_with_parent, start_guard

    end_with_parent(parent, signal.SIGKILL)
    start_guard(descriptor)
    from troupe.fleet.serving.worker import serve

    serve(socket.socket(fileno=descriptor), parent)


if __name__ == "__main__":
    main()
