"""SQS's StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask, which the engine lacks.

`engine.py` puts them into the engine. A task runs on the engine's event loop, where everything happens that callers do to
queues, and is written into its queue's own record, so that it goes when the queue goes. It sends by the engine's SendMessage,
which makes a new message of each and wakes event source mappings. It moves no more than what was visible when it began:
a message that is parked again at once would be moved for ever.

Codes and sentences of the refusals are AWS's, where they are known. The permissions of the caller are checked as AWS does, but for
those on keys: the engine encrypts nothing.
"""

import asyncio
import base64
import json
import time
import uuid

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_region
from ministack.services import sqs

# Both are SQS's own limits.
RATE_MAX = 500
LISTED_MAX = 10

# asyncio itself keeps no hold on what it runs.
running = set()


def install() -> None:
    sqs._HANDLERS.update(
        {"StartMessageMoveTask": start, "ListMessageMoveTasks": list_recent, "CancelMessageMoveTask": cancel}
    )
    # Without this the engine would check all three on "*": it looks for the queue's URL, and they name its ARN.
    extract = iam_actions.extract_resource_arn

    def extracted(service, method, path, headers, body, *rest):
        if service == "sqs" and "MessageMoveTask" in headers.get("x-amz-target", ""):
            arn = iam_actions._safe_json_field(body, "SourceArn")
            return arn or source_of(iam_actions._safe_json_field(body, "TaskHandle")) or "*"
        return extract(service, method, path, headers, body, *rest)

    iam_actions.extract_resource_arn = extracted


# ── The actions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(data: dict, _url: str) -> dict:
    source_arn, destination_arn = data.get("SourceArn") or "", data.get("DestinationArn")
    require(source_arn, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    if destination_arn:
        require(destination_arn, "sqs:SendMessage")
    source = existing(source_arn, "SourceArn")
    if not is_dead_letter_queue(source_arn):
        raise invalid("Source queue must be configured as a Dead Letter Queue.")
    if destination_arn:
        if destination_arn == source_arn:
            raise invalid("Source queue arn and destination queue arn cannot be the same.")
        if existing(destination_arn, "DestinationArn")["is_fifo"] != source["is_fifo"]:
            raise invalid("The source queue and destination queue must be of the same queue type.")
    rate = number(data, "MaxNumberOfMessagesPerSecond", RATE_MAX)
    tasks = source.setdefault("move_tasks", [])
    if tasks and tasks[0]["Status"] == "RUNNING":
        raise invalid("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")

    now = time.time()
    for message in source["messages"]:
        sqs._ensure_msg_fields(message)
    waiting = [message for message in source["messages"] if message["visible_at"] <= now]
    handle = json.dumps({"taskId": str(uuid.uuid4()), "sourceArn": source_arn}).encode()
    task = {
        "TaskHandle": base64.b64encode(handle).decode(),
        "Status": "RUNNING",
        "SourceArn": source_arn,
        "ApproximateNumberOfMessagesMoved": 0,
        "ApproximateNumberOfMessagesToMove": len(waiting),
        "StartedTimestamp": int(now * 1000),
        **({"DestinationArn": destination_arn} if destination_arn else {}),
        **({"MaxNumberOfMessagesPerSecond": rate} if rate else {}),
    }
    source["move_tasks"] = [task, *tasks][:LISTED_MAX]
    # It inherits the context of this request, and so its caller.
    moving = asyncio.create_task(move(source, task, waiting))
    running.add(moving)
    moving.add_done_callback(running.discard)
    return {"TaskHandle": task["TaskHandle"]}


def list_recent(data: dict, _url: str) -> dict:
    source_arn = data.get("SourceArn") or ""
    require(source_arn, "sqs:GetQueueAttributes")
    tasks = existing(source_arn, "SourceArn").get("move_tasks", [])
    most = number(data, "MaxResults", LISTED_MAX) or 1
    # The handle of a task that cannot be cancelled any more is not shown.
    shown = lambda task: {name: task[name] for name in task if name != "TaskHandle" or task["Status"] == "RUNNING"}
    return {"Results": [shown(task) for task in tasks[:most]]}


def cancel(data: dict, _url: str) -> dict:
    source_arn = source_of(data.get("TaskHandle"))
    if not source_arn:
        raise invalid("Value for parameter TaskHandle is invalid.")
    require(source_arn, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    tasks = existing(source_arn, "SourceArn").get("move_tasks", [])
    task = next((task for task in tasks if task["TaskHandle"] == data["TaskHandle"]), None)
    if task is None:
        raise sqs._Err("ResourceNotFoundException", "Task does not exist.", 404)
    if task["Status"] != "RUNNING":
        raise invalid("Only active tasks can be cancelled.")
    task["Status"] = "CANCELLED"
    return {"ApproximateNumberOfMessagesMoved": task["ApproximateNumberOfMessagesMoved"]}


# ── A task ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def move(source: dict, task: dict, waiting: list) -> None:
    # Without a rate as fast as the engine can, but never two messages without letting others have their turn.
    pause = 1 / task["MaxNumberOfMessagesPerSecond"] if "MaxNumberOfMessagesPerSecond" in task else 0
    may_send = {task.get("DestinationArn")}
    try:
        for message in waiting:
            # Event source mappings take messages from threads of their own.
            with sqs._queues_lock:
                if sqs._queue_by_arn(task["SourceArn"]) is not source:
                    raise sqs._Err("QueueDoesNotExist", "The source queue was deleted.")
                if is_visible(source, message):
                    send(message, task, may_send)
                    source["messages"].remove(message)
                    task["ApproximateNumberOfMessagesMoved"] += 1
            await asyncio.sleep(pause)
            if task["Status"] != "RUNNING":
                return
        task["Status"] = "COMPLETED"
    except sqs._Err as refusal:
        task["Status"] = "FAILED"
        task["FailureReason"] = sqs._QUERY_COMPAT_CODES.get(refusal.code, refusal.code)


def is_visible(source: dict, message: dict) -> bool:
    """Whether a receive could hand it out now: on a FIFO queue nothing of its group may be in flight."""
    now = time.time()
    if message["visible_at"] > now or message not in source["messages"]:
        return False
    group = message["group_id"] if source["is_fifo"] else None
    in_flight = lambda other: other["group_id"] == group and other["visible_at"] > now and other["receive_count"] > 0
    return group is None or not any(in_flight(other) for other in source["messages"])


def send(message: dict, task: dict, may_send: set) -> None:
    origin_arn = message["sys"].get("DeadLetterQueueSourceArn")
    to_arn = task.get("DestinationArn") or origin_arn
    if not to_arn:
        raise sqs._Err("CouldNotDetermineMessageSource", "It was not moved here by SQS.")
    if to_arn not in may_send:
        require(to_arn, "sqs:SendMessage")
        may_send.add(to_arn)
    destination = sqs._queue_by_arn(to_arn)
    if destination is None:
        raise sqs._Err("QueueDoesNotExist", "The destination queue was deleted.")
    trace = message["sys"].get("AWSTraceHeader")
    sqs._act_send_message(
        {
            "MessageBody": message["body"],
            "MessageAttributes": message["message_attributes"],
            "MessageSystemAttributes": {"AWSTraceHeader": {"StringValue": trace}} if trace else {},
            "MessageGroupId": message["group_id"],
            # On its way here SQS gave it its own id for this, so that its source queue does not ignore it as a duplicate.
            "MessageDeduplicationId": message["id"] if origin_arn else message["dedup_id"],
        },
        destination["url"],
    )


# ── What the actions ask ────────────────────────────────────────────────────────────────────────────────────────────────


def require(queue_arn: str, *actions: str) -> None:
    """The permissions that AWS wants besides that on the action itself, which the engine has checked by then."""
    # Empty for the root key, to which nothing is denied.
    key = iam_evaluator._verified_key.get()
    for action in actions:
        if key and iam_evaluator.enforce(key, action, "sqs", get_region(), resource_arn=queue_arn):
            message = f"User: {iam_evaluator.caller_arn()} is not authorized to perform: {action} on resource: {queue_arn}"
            raise sqs._Err("AccessDenied", message, 403)


def existing(queue_arn: str, parameter: str) -> dict:
    queue = sqs._queue_by_arn(queue_arn)
    if queue is None:
        message = f"The resource that you specified for the {parameter} parameter doesn't exist."
        raise sqs._Err("ResourceNotFoundException", message, 404)
    return queue


def is_dead_letter_queue(arn: str) -> bool:
    policies = (queue["attributes"].get("RedrivePolicy") for queue in sqs._queues.values())
    return any(policy and json.loads(policy).get("deadLetterTargetArn") == arn for policy in policies)


def number(data: dict, name: str, most: int) -> int | None:
    value = data.get(name)
    if value is not None and not 1 <= value <= most:
        raise invalid(f"Value for parameter {name} is invalid. Reason: You must enter a number that's between 1 and {most}.")
    return value


def source_of(handle: str | None) -> str | None:
    """The queue that a handle names; nothing for what is no handle."""
    try:
        return json.loads(base64.b64decode(handle or "", validate=True))["sourceArn"]
    except (ValueError, KeyError, TypeError):
        return None


def invalid(message: str) -> Exception:
    return sqs._Err("InvalidParameterValue", message)
