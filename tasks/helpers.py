"""Processes that draw side by side are forked from one that has already imported what all of them need."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

NEEDED = ["tasks.shards"]


def forking() -> ForkServerContext:
    """The context of such processes. Their imports begin with the first call, beside whatever the caller does next."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    forkserver.ensure_running()
    return context
