"""What the engine does for a message costs the same however many others there are, and a FIFO queue is read by several batches.

`engine.py` puts both into the engine. With two thousand orders on their way it spent a third of its time on looking through all
that waits and all that was said within five minutes, for every one of them; and a FIFO queue passed one batch after the other,
whatever its event source mapping allowed. Nothing here changes what is delivered, or in which order within a message group.
"""

import time

from ministack.services import lambda_svc, sns, sqs


def install() -> None:
    sns._prune_sns_dedup = forget
    sqs._prune_dedup = forget
    sqs._receive_messages_for_esm = unless_all_are_hidden(sqs._receive_messages_for_esm)
    lambda_svc._sqs_esm_concurrency = concurrency


def forget(topic_or_queue: dict) -> None:
    """Removes the deduplication ids whose five minutes are over. The engine copies all the others instead, at every message.

    Each is remembered for as long, and a dict keeps the order in which it was filled: the first that stays ends the search.
    """
    remembered = topic_or_queue.setdefault("dedup_cache", {})
    now = time.time()
    while (oldest := next(iter(remembered), None)) is not None and remembered[oldest]["expire"] <= now:
        del remembered[oldest]


def unless_all_are_hidden(receive):
    """Looks once whether there is anything to take. The engine goes through a queue five times, on every pass over all event
    source mappings; the queue of order-deadline holds every order, hidden, for as long as fifteen minutes."""

    def received(queue_url: str, max_number: int) -> list:
        now = time.time()
        if all(message.get("visible_at", 0) > now for message in sqs._get_q(queue_url)["messages"]):
            return []
        return receive(queue_url, max_number)

    return received


def concurrency(mapping: dict, function: dict, config: dict, queue: dict | None = None) -> int:
    """`MaximumConcurrency`, of FIFO queues too: Lambda reads as many batches of one at once as it has message groups, up to that.
    The engine reads one, lest two bring a group out of order; but it takes no message of a group that has one in flight."""
    return allowed(mapping, function, config)


allowed = lambda_svc._sqs_esm_concurrency
