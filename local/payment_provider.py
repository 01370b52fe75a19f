"""Starts localstripe, the stand-in for the payment provider, as a program of its own.

Run by `cargo xtask up|demo|test`. It is not part of this project (GPL): it is started, and spoken to over HTTP, never
imported by anything that ships. Its command line knows a port but neither the loopback interface nor a place for its
state, so this file gives it both before it runs.

    python payment_provider.py [--lifeline] PORT HOST
"""

import builtins
import os
import runpy
import socket
import sys

# It writes its whole book there after every change; two runs on one machine would read each other's.
STATE_FILE = "/tmp/localstripe.pickle"


class OneInterfaceSocket(socket.socket):
    """It asks for `::`, every interface of the machine, and gets HOST alone, whether the machine speaks IPv6 or not."""

    def __init__(self, family=-1, *rest, **named):
        super().__init__(socket.AF_INET if family == socket.AF_INET6 else family, *rest, **named)

    def bind(self, address):
        super().bind((host, address[1]))


def open_without_state(path, *rest, **named):
    return open_file(os.devnull if path == STATE_FILE else path, *rest, **named)


if "--lifeline" in sys.argv:
    sys.argv.remove("--lifeline")
    import lifeline

    lifeline.end_with_starter()
port, host = sys.argv[1:]
open_file, builtins.open = builtins.open, open_without_state
socket.socket = OneInterfaceSocket
sys.argv = ["localstripe", "--port", port, "--from-scratch"]
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
