"""One machine of a load test, a process with a home of its own: `python -m tests.load.machine`.

It reads policy files from standard input, one a line, and submits each in a process of its own. On standard output it
says of each which process has it, and how that ended.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
from typing import Any

from tests.load import worker

_ALONE = threading.Lock()


def main() -> None:
    """Submit what is asked for, side by side, until there is nothing more to read."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.__name__])  # so that its libraries are read once, not by each process
    threads = []
    for line in sys.stdin:
        process = context.Process(target=worker.submit, args=(line.strip(),))
        process.start()
        _say(policy=line.strip(), pid=process.pid)
        threads.append(threading.Thread(target=_wait, args=(process, line.strip())))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _wait(process: Any, policy: str) -> None:
    process.join()
    _say(policy=policy, code=process.exitcode)


def _say(**words: Any) -> None:
    with _ALONE:
        print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
