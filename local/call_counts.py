"""Counts what an order costs in AWS calls: API requests by caller, invocations by function, and batches taken from queues.

`engine.py` puts it into the engine, which then answers `GET /_calls` with the counts since its start; to get those of a
while reads twice. A caller is a function's name, because each function signs with a session of its role that has this name; other
sessions are called by their own names, everybody else `root`. It does not count what AWS does not take for an API request:
connections opened ahead, requests to the HTTP API, what SNS brings to a queue, the engine's own pages.
"""

import collections
import json
import threading

from ministack import app
from ministack.core import iam_actions, router
from ministack.services import lambda_svc, sqs, sts

# No AWS API begins like this: no bucket's name does either.
PATH = "/_calls"

# Functions are invoked from threads of their own.
lock = threading.Lock()
calls = collections.defaultdict(collections.Counter)
invocations = collections.Counter()
# By function. An empty receive is not among them: the engine looks into its queues by itself, and how often says nothing of AWS.
batches = collections.defaultdict(collections.Counter)
# The function behind each queue, by URL.
consumers = {}


def install() -> None:
    count_requests()
    count_invocations()
    count_batches()
    show()


def count_requests() -> None:
    # Every signed request to an API comes by here once, on its way to the check of its permissions.
    extract = iam_actions.extract_iam_action

    def extracted(service, method, path, headers, body, query_params):
        action = extract(service, method, path, headers, body, query_params)
        key = router.extract_access_key_id(headers, query_params)
        if action and key:
            with lock:
                calls[caller(key)][action] += 1
        return action

    iam_actions.extract_iam_action = extracted


def caller(key: str) -> str:
    """`arn:aws:sts::000000000000:assumed-role/<role>/<session>`"""
    return (sts._sessions.get(key) or {}).get("Arn", "").partition(":assumed-role/")[2].rpartition("/")[2] or "root"


def count_invocations() -> None:
    # Behind the gate that throttles: what does not run is no invocation.
    dispatch = lambda_svc._execute_function_dispatch

    def dispatched(func, config, *rest):
        with lock:
            invocations[config.get("FunctionName", "unknown")] += 1
        return dispatch(func, config, *rest)

    lambda_svc._execute_function_dispatch = dispatched


def count_batches() -> None:
    run, delete = lambda_svc._run_sqs_batch, sqs._delete_messages_for_esm

    def ran(esm, func_rec, event, batch, queue_url, queue_name):
        with lock:
            consumers[queue_url] = esm["FunctionName"]
            batches[esm["FunctionName"]].update(receives=1, received=len(batch))
        return run(esm, func_rec, event, batch, queue_url, queue_name)

    def deleted(queue_url, receipt_handles):
        with lock:
            # A batch is ten messages at most, as DeleteMessageBatch takes them.
            batches[consumers[queue_url]].update(deletes=1, deleted=len(receipt_handles))
        return delete(queue_url, receipt_handles)

    lambda_svc._run_sqs_batch, sqs._delete_messages_for_esm = ran, deleted


def show() -> None:
    handle = app._handle_pre_body_request

    async def handled(method, path, *rest):
        if (method, path) != ("GET", PATH):
            return await handle(method, path, *rest)
        with lock:
            counts = json.dumps({"calls": calls, "invocations": invocations, "batches": batches})
        return 200, {"Content-Type": "application/json"}, counts.encode()

    app._handle_pre_body_request = handled
