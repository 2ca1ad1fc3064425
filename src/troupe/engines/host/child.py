"""The program of an engine's own process; it is run as a script, by `launch`.

It imports the rest of Troupe only after it is sure to end with its parent, and that whatever it
starts ends with it.
"""

import ctypes
import faulthandler
import json
import os
import signal
import socket
import sys
import time

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, how: signal.Signals) -> None:
    """Let the kernel send this process a signal when its parent ends, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), how)


def start_guard(descriptor: int) -> None:
    """Fork a process that ends the rest of this group as soon as this process has ended."""
    engine = os.getpid()
    if os.fork():
        return
    os.close(descriptor)
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: os.killpg(0, signal.SIGKILL))
    end_with_parent(engine, signal.SIGUSR1)
    while os.getppid() == engine:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Host one engine for the process at the other end of a socket."""
    descriptor, parent, path = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    os.set_inheritable(descriptor, False)
    end_with_parent(parent, signal.SIGKILL)
    start_guard(descriptor)
    faulthandler.enable()
    # ends as an error does: the engine is closed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.argv[1:] = []
    sys.path[:] = path
    from troupe.engines.host.process_server import serve

    serve(socket.socket(fileno=descriptor), parent)


if __name__ == "__main__":
    main()
