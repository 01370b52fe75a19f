"""Calls AWS for `cargo xtask smoke`, which holds what comes back against the template.

By botocore, which sam brings: it finds the caller's credentials, whatever kind they are, and hands them to nobody. Each line of
standard input is a list of calls, each line of output the list of their answers, in the same order. It reads: an operation that
could change something is refused, but for `invoke`, which smoke says to functions that refuse or only look, and for requests over
HTTP, by which an order is placed as a customer would.

    python aws.py [--profile NAME] [--region NAME]
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

READS = ("describe_", "get_", "list_", "simulate_", "scan", "invoke")
# At once: enough that a hundred reads take a second or two, and few enough that no service throttles them.
CALLS_MAX = 12
# A read takes a fraction of a second; an invocation may be a cold start.
CONFIG = Config(connect_timeout=5, read_timeout=30, max_pool_connections=CALLS_MAX, retries={"mode": "standard", "total_max_attempts": 4})
HTTP_SECONDS = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile")
    parser.add_argument("--region")
    arguments = parser.parse_args()
    clients = Clients(arguments)
    with ThreadPoolExecutor(CALLS_MAX) as pool:
        for line in sys.stdin:
            calls = json.loads(line)
            # Made by one thread: making them is not safe for several.
            for call in calls:
                clients.make(call)
            print(json.dumps(list(pool.map(clients.answer, calls)), default=str), flush=True)


class Clients:
    def __init__(self, arguments):
        self.arguments = arguments
        self.session = None
        self.clients = {}
        # By service.
        self.refused = {}

    def make(self, call) -> None:
        service = call.get("service")
        if service is None or service in self.clients or service in self.refused:
            return
        try:
            self.session = self.session or boto3.Session(profile_name=self.arguments.profile, region_name=self.arguments.region)
            self.clients[service] = self.session.client(service, config=CONFIG)
        except (BotoCoreError, ValueError) as error:
            self.refused[service] = failed(type(error).__name__, error)

    def answer(self, call) -> dict:
        if "url" in call:
            return request(call)
        operation = call["operation"]
        if not operation.startswith(READS):
            return failed("NotARead", f"{operation} might change something")
        if call["service"] in self.refused:
            return self.refused[call["service"]]
        client = self.clients[call["service"]]
        try:
            if call.get("pages"):
                return {"ok": client.get_paginator(operation).paginate(**call["input"]).build_full_result()}
            answer = getattr(client, operation)(**call["input"])
            if operation == "invoke":
                answer["Payload"] = json.load(answer["Payload"])
            answer.pop("ResponseMetadata", None)
            return {"ok": answer}
        except ClientError as error:
            return failed(error.response["Error"].get("Code", "Unknown"), error.response["Error"].get("Message") or error)
        except (BotoCoreError, ValueError) as error:
            return failed(type(error).__name__, error)


def request(call) -> dict:
    body = call["body"].encode() if call.get("body") else None
    asked = urllib.request.Request(call["url"], data=body, method=call["method"], headers=call["headers"])
    try:
        with urllib.request.urlopen(asked, timeout=HTTP_SECONDS) as answer:
            return {"ok": {"status": answer.status, "body": answer.read().decode("utf-8", "replace")}}
    except urllib.error.HTTPError as error:
        return {"ok": {"status": error.code, "body": error.read().decode("utf-8", "replace")}}
    except OSError as error:
        return failed(type(error).__name__, error)


def failed(code: str, message) -> dict:
    return {"error": {"code": code, "message": str(message)}}


if __name__ == "__main__":
    main()
