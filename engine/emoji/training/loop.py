"""The common parts of all training stages: a seeded generator, a log, checkpoints every few minutes, resumption."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

# glibc returns the gradients' pages after every step and asks for them anew; kept, and huge, they make a step shorter.
KEEP_PAGES = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def keep_pages() -> None:
    """Start this process again as it was called, with `KEEP_PAGES`, which glibc reads only at the start.

    A variable that is set already stays as it is.
    """
    if KEEP_PAGES.keys() - os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**KEEP_PAGES, **os.environ})


class Loop:
    """One stage's folder: `log.jsonl`, `last.pt` (to resume) and `final.pt` (its weights).

    The checkpoint is a training artefact of our own making that never leaves the work folder, so torch.save is used
    for it; what is shipped is safetensors.
    """

    def __init__(self, work: Path, stage: str, seed: int = 0, every: float = 180.0) -> None:
        self.work = work
        self.folder = work / stage
        self.folder.mkdir(parents=True, exist_ok=True)
        self.draws = torch.Generator().manual_seed(seed)
        self.start = 0
        self._every = every
        self._saved = time.monotonic()
        self._sums: dict[str, float] = {}
        self._count = 0
        torch.manual_seed(seed)

    def done(self) -> bool:
        return (self.folder / "final.pt").exists()

    def finished(self, stage: str) -> dict[str, torch.Tensor]:
        """Return the weights that another stage ended with."""
        return torch.load(self.work / stage / "final.pt", weights_only=True)

    def resume(self, *parts: Any) -> None:
        """Load the parts' states from the last checkpoint, if there is one."""
        last = self.folder / "last.pt"
        if not last.exists():
            return
        state = torch.load(last, weights_only=True)
        self.start = state["step"] + 1
        self.draws.set_state(state["draws"])
        for part, saved in zip(parts, state["parts"], strict=True):
            part.load_state_dict(saved)

    def steps(self, total: int) -> Iterator[int]:
        bar = tqdm(range(self.start, total), initial=self.start, total=total, desc=self.folder.name, mininterval=10)
        yield from bar

    def log(self, step: int, every: int = 50, **values: float) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count == every:
            means = {name: round(total / every, 5) for name, total in self._sums.items()}
            with open(self.folder / "log.jsonl", "a") as handle:
                handle.write(json.dumps({"step": step, "at": round(time.time()), **means}) + "\n")
            self._sums, self._count = {}, 0

    def checkpoint(self, step: int, *parts: Any) -> None:
        if time.monotonic() - self._saved < self._every:
            return
        states = [part.state_dict() for part in parts]
        _write(self.folder / "last.pt", {"step": step, "draws": self.draws.get_state(), "parts": states})
        self._saved = time.monotonic()

    def finish(self, model: torch.nn.Module) -> None:
        _write(self.folder / "final.pt", model.state_dict())


def _write(path: Path, state: dict) -> None:
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    scratch.replace(path)


def mixed() -> torch.autocast:
    """Compute in bfloat16 where the processor has instructions for it; elsewhere it is emulated, 15 times slower.

    That is how much slower a step of the denoiser was with AVX2 alone; float32 is then as fast as the machine is.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())


def cosine(optimiser: torch.optim.Optimizer, peak: float, step: int, total: int, warmup: int = 100) -> None:
    """Set the rate: a linear warm-up, then half a cosine down to a hundredth of the peak."""
    progress = min(1.0, step / max(1, total))
    rate = peak * min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
    for group in optimiser.param_groups:
        group["lr"] = rate
