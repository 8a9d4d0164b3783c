"""The pace of drawing by the layout of the UNet's weights: `python -m benchmarks.verification.drawing`.

The same pictures are drawn by turns with channels last, as `open_model` lays a UNet out on a processor, and with
channels first, as files hold it. Prints pictures a second of each at its fastest, their ratio, and how far the pictures
are apart: rounding only. Beside it what a picture takes in GFLOP, and how many of these the machine does in a second of
a bare matrix product, by which to judge what there is left to gain.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import diffusers
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from expunge.engine.emoji import MODEL
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate

NAMES = ("taxi", "panda", "castle", "bicycle")
FIRST, LAST = "channels first", "channels last"


def drawn(pipeline: Any, shots: list[Shot]) -> tuple[float, np.ndarray]:
    """Pictures a second, and the pictures."""
    start = time.perf_counter()
    pictures = np.stack([picture for _, picture in generate(pipeline, shots, Sampler())])
    return len(shots) / (time.perf_counter() - start), pictures


def work(pipeline: Any, shot: Shot) -> float:
    """GFLOP of one picture."""
    with FlopCounterMode(display=False) as counter:
        drawn(pipeline, [shot])
    return counter.get_total_flops() / 1e9


def pace_of_products(size: int = 2048, repeats: int = 10) -> float:
    """GFLOP a second of products of two float32 matrices."""
    one, other = torch.randn(2, size, size, generator=torch.Generator().manual_seed(0))
    torch.mm(one, other)
    start = time.perf_counter()
    for _ in range(repeats):
        torch.mm(one, other)
    return repeats * 2 * size**3 / (time.perf_counter() - start) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipelines = {FIRST: open_model(MODEL), LAST: open_model(MODEL)}
    pipelines[FIRST].unet = diffusers.UNet2DConditionModel.from_pretrained(MODEL, subfolder="unet", dtype=torch.float32)
    shots = [Shot(f"a photo of a {NAMES[number % len(NAMES)]}", number) for number in range(args.pictures)]
    pace, pictures = dict.fromkeys(pipelines, 0.0), {}
    for _ in range(args.repeats):
        for name, pipeline in pipelines.items():
            found, pictures[name] = drawn(pipeline, shots)
            pace[name] = max(pace[name], found)
    first, last = pictures[FIRST].astype(int), pictures[LAST].astype(int)
    print(", ".join(f"{name}: {found:.2f} pictures a second" for name, found in pace.items()))
    print(f"ratio {pace[LAST] / pace[FIRST]:.2f}, {args.threads} threads")
    print(f"{(first != last).mean():.5%} of the bytes differ, by at most {abs(first - last).max()} of 255")
    print(f"{work(pipelines[LAST], shots[0]):.1f} GFLOP a picture, {pace_of_products():.0f} GFLOP a second in products")


if __name__ == "__main__":
    main()
