"""A Ray cluster on this machine: a head that draws nothing, and machines with one processor each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[3]
STORE = 80 * 2**20  # bytes of the object store, near the least that Ray takes


@contextmanager
def cluster(
    patch: pytest.MonkeyPatch, homes: list[Path | None], **resources: float
) -> Iterator[tuple[Cluster, list[Any]]]:
    """Yield a cluster and its machines, each with a home of its own if one is named; it ends with the block."""
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "dashboard_port": None}
    made = Cluster(initialize_head=True, head_node_args={k: v for k, v in head.items() if v is not None})
    try:
        nodes = []
        for home in homes:
            if home:
                patch.setenv("EXPUNGE_HOME", str(home))
            nodes.append(made.add_node(**{"num_cpus": 1, "object_store_memory": STORE, **resources}))
        patch.delenv("EXPUNGE_HOME", raising=False)
        patch.setenv("RAY_ADDRESS", str(made.address))
        patch.setenv("EXPUNGE_CREW", "ray")
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()
        os.environ.pop("RAY_ADDRESS", None)
