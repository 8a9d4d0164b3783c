"""One machine of a load test, a process with a home of its own: `python -m tests.load.machine`.

It reads policy files from standard input, one a line, and submits each in a process of its own. On standard output it
says of each which process has it, and how that ended.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import sys
import threading
from contextlib import suppress
from typing import Any

from tests.load import worker

Asked = queue.SimpleQueue[str | None]


def main() -> None:
    """Submit what is asked for, side by side, until there is nothing more to read.

    One thread starts processes and asks for their exit codes. Two that ask for the same code at once read 255.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.__name__])  # so that its libraries are read once, not by each process
    asked: Asked = queue.SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    running: dict[str, Any] = {}
    more = True
    while more or running:
        with suppress(queue.Empty):
            if policy := asked.get(timeout=0.1):
                running[policy] = context.Process(target=worker.submit, args=(policy,))
                running[policy].start()
                _say(policy=policy, pid=running[policy].pid)
            else:
                more = False
        for policy in [policy for policy, process in running.items() if process.exitcode is not None]:
            _say(policy=policy, code=running.pop(policy).exitcode)


def _read(asked: Asked) -> None:
    for line in sys.stdin:
        asked.put(line.strip())
    asked.put(None)


def _say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
