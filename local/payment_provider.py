"""Starts localstripe, the stand-in for the payment provider, as a program of its own.

Run by `cargo xtask up|demo|test`. It is not part of this project (GPL): it is started, and spoken to over HTTP, never
imported by anything that ships. Its command line knows a port but neither the loopback interface nor a place for its
state, so this file gives it both before it runs.

    python payment_provider.py [--lifeline] PORT
"""

import builtins
import os
import pickle
import runpy
import socket
import sys

# It writes its whole book there, several times a request: ever slower as the book grows, and two runs on one machine would
# read each other's. Nothing here outlives a run.
STATE_FILE = "/tmp/localstripe.pickle"


class LoopbackSocket(socket.socket):
    """It asks for `::`, every interface of the machine, and gets the loopback interface alone, whether the machine speaks IPv6 or not."""

    def __init__(self, family=-1, *rest, **named):
        super().__init__(socket.AF_INET if family == socket.AF_INET6 else family, *rest, **named)

    def bind(self, address):
        super().bind(("127.0.0.1", address[1]))


def open_without_state(path, *rest, **named):
    return open_file(os.devnull if path == STATE_FILE else path, *rest, **named)


if "--lifeline" in sys.argv:
    sys.argv.remove("--lifeline")
    import lifeline

    lifeline.end_with_starter()
[port] = sys.argv[1:]
open_file, builtins.open = builtins.open, open_without_state
pickle.dump = lambda *_, **__: None
socket.socket = LoopbackSocket
sys.argv = ["localstripe", "--port", port, "--from-scratch"]
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
