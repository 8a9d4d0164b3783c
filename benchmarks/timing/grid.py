"""Closed form and peak memory of every editor by number of concepts, each cell in a process of its own.

A cell is measured with a text encoder of one layer, whose depth does not matter to either; lines of this version that
are in `measured/speed.tsv`, which stays on the machine it was measured on, are not measured again.
`python -m benchmarks.timing.grid EDITOR CONCEPTS DEVICE THREADS` is one cell.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import torch

import expunge.engine
from benchmarks.common.page import table
from benchmarks.common.results import FOLDER, Results
from benchmarks.timing.fullsize import SHALLOW, Size, pipeline
from benchmarks.timing.memory import peak
from benchmarks.timing.plans import timed

KEY = ("version", "editor", "concepts", "device", "threads")
COLUMNS = (*KEY, "closed_form", "peak_gb", "problem")


def cell(editor: str, count: int, device: str, size: Size = SHALLOW) -> dict[str, Any]:
    """In this process: seconds of closed form, and the largest resident size, or size on the GPU, in GB."""
    model = pipeline(size, device=device)
    closed_form = timed(model, editor, count, device).closed_form
    held = torch.cuda.max_memory_allocated() if device.startswith("cuda") else peak()
    return {"closed_form": closed_form, "peak_gb": held / 1e9}


def measure(editors: Sequence[str], counts: Sequence[int], device: str, threads: int, limit: float) -> Results:
    """Every cell that was not measured yet, within `limit` seconds each."""
    found = Results(FOLDER / "speed.tsv", COLUMNS, KEY)
    for editor in editors:
        for count in counts:
            wanted = key(editor, count, device, threads)
            if wanted not in found:
                found.add({**wanted, **_apart(editor, count, device, threads, limit)})
                print(found.where(**wanted)[0], flush=True)
    return found


def key(editor: str, count: int, device: str, threads: int) -> dict[str, Any]:
    row = {"version": expunge.engine.__version__, "editor": editor, "concepts": count}
    return {**row, "device": device, "threads": threads}


def _apart(editor: str, count: int, device: str, threads: int, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.timing.grid", editor, str(count), device, str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"problem": f"more than {limit:.0f} s"}
    if done.returncode:
        return {"problem": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def report(editors: Sequence[str], counts: Sequence[int], device: str, threads: int, limit: float) -> str:
    """Return a table of all cells; those that were not measured yet are, within `limit` seconds each."""
    found = measure(editors, counts, device, threads, limit)

    def shown(editor: str, count: int) -> str:
        row = found.where(**key(editor, count, device, threads))[0]
        return row["problem"] or f"{float(row['closed_form']):.2f} s, {float(row['peak_gb']):.2f} GB"

    lines = [[editor, *(shown(editor, count) for count in counts)] for editor in editors]
    return "Closed form and peak memory by number of concepts:\n\n" + table(["editor", *map(str, counts)], lines)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]))
    print(json.dumps(cell(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
