"""Starts localstripe, the stand-in for the payment provider, as a program of its own.

Run by `cargo xtask up|demo|test`. It is not part of this project (GPL): it is started, and spoken to over HTTP, never
imported by anything that ships. Its command line knows a port but neither the loopback interface nor a place for its
state, so this file gives it both before it runs; and it keeps the time for a payment the same however many there have been,
or makes it longer, where it is to be as slow as a provider on a bad day.

    python payment_provider.py [--lifeline] [--latency-ms N] PORT
"""

import argparse
import asyncio
import builtins
import collections
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


def keep_a_shelf_for_each_kind():
    """Whenever it shows a charge it looks for its refunds, through all records of all kinds: with two thousand payments that takes
    most of its time, and there is not one refund to find. So its book has a shelf for each kind of record beside it."""
    from localstripe import resources

    put, remove, shelves = resources.Store.__setitem__, resources.Store.__delitem__, collections.defaultdict(dict)

    def shelf_of(key):
        return shelves[key.partition(":")[0]]

    def put_both(store, key, record):
        put(store, key, record)
        shelf_of(key)[key] = record

    def remove_both(store, key):
        remove(store, key)
        del shelf_of(key)[key]

    def clear_both(store):
        dict.clear(store)
        shelves.clear()

    def list_all(cls, url, limit=None, starting_after=None, **unknown):
        if unknown:
            raise resources.UserError(400, "Unexpected " + ", ".join(unknown))
        found = resources.List(url, limit=limit, starting_after=starting_after)
        found._list = list(shelves[cls.object].values())
        return found

    resources.Store.__setitem__, resources.Store.__delitem__, resources.Store.clear = put_both, remove_both, clear_both
    resources.StripeObject._api_list_all = classmethod(list_all)


def answer_late(seconds):
    """Every change waits before it is made, and others pass meanwhile. What is only read, as by tests, is answered at once."""
    from aiohttp import web

    make = web.Application.__init__

    @web.middleware
    async def late(request, handler):
        if request.method == "POST":
            await asyncio.sleep(seconds)
        return await handler(request)

    def made(application, *, middlewares=(), **named):
        make(application, middlewares=[late, *middlewares], **named)

    web.Application.__init__ = made


parser = argparse.ArgumentParser()
parser.add_argument("--lifeline", action="store_true")
parser.add_argument("--latency-ms", type=int, default=0)
parser.add_argument("port")
asked = parser.parse_args()
if asked.lifeline:
    import lifeline

    lifeline.end_with_starter()
open_file, builtins.open = builtins.open, open_without_state
pickle.dump = lambda *_, **__: None
socket.socket = LoopbackSocket
sys.argv = ["localstripe", "--port", asked.port, "--from-scratch"]
keep_a_shelf_for_each_kind()
if asked.latency_ms:
    answer_late(asked.latency_ms / 1000)
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
