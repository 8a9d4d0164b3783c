"""The process from which those that draw side by side are forked. It has imported already what all of them need.

This module imports nothing heavy, so that a command can start that process before it does its own imports.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

NEEDED = ["expunge.tasks.evidence.drawing.workers"]


def start_fork_server() -> ForkServerContext:
    """Start the server unless it runs, and return the context of its processes.

    Its imports begin with the first call, beside whatever the caller does next.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    forkserver.ensure_running()
    return context
