"""Starts localstripe, the stand-in for the payment provider, as a program of its own.

Run by `cargo xtask up|demo|test`. It is not part of this project (GPL): it is started, and spoken to over HTTP, never
imported by anything that ships. Its command line knows a port but neither the loopback interface nor a place for its
state, so this file gives it both before it runs; and it keeps the time for a payment the same however many there have been,
or makes it longer, where it is to be as slow as a provider under load.

Stripe's limits hold here too: so many changes of payments a second, and what is more is answered with 429 as by Stripe; and of each
currency the amounts that Stripe charges, which `charges.json` says. And it answers nobody but who has the key that the variable
PROVIDER_KEY says.

    python payment_provider.py [--lifeline] [--latency-ms N] [--calls-per-second N] [--endpoint-calls-per-second N] PORT
"""

import argparse
import asyncio
import builtins
import collections
import hmac
import json
import os
import pathlib
import pickle
import runpy
import socket
import sys
import time

import web_pages

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


class Bucket:
    """A token bucket that holds a second's calls."""

    def __init__(self, calls_per_second):
        self.rate, self.tokens, self.since = calls_per_second, float(calls_per_second), time.monotonic()

    def refill(self):
        now = time.monotonic()
        self.tokens, self.since = min(float(self.rate), self.tokens + (now - self.since) * self.rate), now
        return self.tokens >= 1


class Limits:
    """Stripe's, as https://docs.stripe.com/rate-limits had them on 2026-04-30: of the account, and of each endpoint. Only what
    changes a payment counts. Tests read the book, which is nobody's call at Stripe."""

    def __init__(self, calls_per_second, endpoint_calls_per_second):
        self.account = Bucket(calls_per_second)
        self.endpoints = collections.defaultdict(lambda: Bucket(endpoint_calls_per_second))

    def reached(self, method, path):
        """Why this call is one too many: what stands in `Stripe-Rate-Limited-Reason`. None, and it is counted, if it is not."""
        if method != "POST" or not path.startswith("/v1/payment_intents"):
            return None
        parts = path.strip("/").split("/")
        endpoint = self.endpoints[parts[3] if len(parts) > 3 else ""]
        if not self.account.refill():
            return "global-rate"
        if not endpoint.refill():
            return "endpoint-rate"
        self.account.tokens -= 1
        endpoint.tokens -= 1
        return None


def charge_what_stripe_charges():
    """Any amount above zero in any currency is good enough for it. Here a currency has a least, a most and a step, as at Stripe
    (https://docs.stripe.com/currencies), in Stripe's own unit. The table is the shop's own: shared/domain/src/charge.rs holds it to be."""
    from localstripe import resources

    charges = json.loads(pathlib.Path(__file__).with_name("charges.json").read_text())
    make = resources.PaymentIntent.__init__

    def refuse(code, param, why):
        # Its own refusals have no code and name no parameter; Stripe's do.
        raise resources.UserError(400, why, {"code": code, "param": param})

    def made(intent, amount=None, currency=None, **named):
        number = resources.try_convert_to_int(amount)
        if type(number) is not int or number <= 0:
            refuse("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
        if currency not in charges:
            refuse("invalid_currency", "currency", "This currency is not supported.")
        least, most, step = charges[currency]
        if number < least:
            refuse("amount_too_small", "amount", f"Amount must be at least {least}.")
        if number > most:
            refuse("amount_too_large", "amount", f"Amount must be no more than {most}.")
        if number % step:
            refuse("invalid_amount", "amount", f"Amount must be a multiple of {step}.")
        make(intent, amount=number, currency=currency, **named)

    resources.PaymentIntent.__init__ = made


def stand_before_it(limits, latency, key):
    """What a web page sends, what comes without the key, and what is one too many, is refused before anything is done. Every change waits before it is made, and
    others run in parallel. What is only read, as by tests, is answered at once."""
    from aiohttp import web

    make = web.Application.__init__

    @web.middleware
    async def before(request, handler):
        if web_pages.is_foreign(request.headers.items()):
            return web.Response(status=403, text=web_pages.SENTENCE)
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {key}".encode()):
            return web.json_response({"error": {"type": "invalid_request_error", "message": "Invalid API Key provided."}}, status=401)
        reason = limits.reached(request.method, request.path)
        if reason:
            error = {"type": "invalid_request_error", "code": "rate_limit", "message": "Request rate limit exceeded."}
            return web.json_response({"error": error}, status=429, headers={"Stripe-Rate-Limited-Reason": reason})
        if request.method == "POST" and latency:
            await asyncio.sleep(latency)
        return await handler(request)

    def made(application, *, middlewares=(), **named):
        make(application, middlewares=[before, *middlewares], **named)

    web.Application.__init__ = made


parser = argparse.ArgumentParser()
parser.add_argument("--lifeline", action="store_true")
parser.add_argument("--latency-ms", type=int, default=0)
parser.add_argument("--calls-per-second", type=int, default=25)  # a sandbox's: a local stack takes it for one
parser.add_argument("--endpoint-calls-per-second", type=int, default=25)
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
charge_what_stripe_charges()
stand_before_it(Limits(asked.calls_per_second, asked.endpoint_calls_per_second), asked.latency_ms / 1000, os.environ["PROVIDER_KEY"])
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
