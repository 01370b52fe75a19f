"""Ends this program with the one that started it.

`engine.py` and `payment_provider.py` call it when they are started with `--lifeline`: standard input is then a pipe that only the
starter holds open, and its end is the end of the starter, however that came about: also by `kill -9`, of which no program
hears. It never outlives that by more than GRACE_SECONDS, and it does not watch anything else.
"""

import os
import signal
import threading
import time

# The engine asks its functions to end and waits two seconds for them; a little more than that.
GRACE_SECONDS = 3


def end_with_starter() -> None:
    """Watches standard input from a thread of its own. The program must lead its process group."""
    threading.Thread(target=_watch, daemon=True, name="lifeline").start()


def _watch() -> None:
    # Not by sys.stdin, whose lock would keep the interpreter from ending in any other way.
    while os.read(0, 1):
        pass
    # The group, not the process: functions that the engine started belong to it.
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)
