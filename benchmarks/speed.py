"""How fast and in how much memory the editors plan at the size of Stable Diffusion 1.5: `python -m benchmarks.speed`.

Eight parts, on random weights (`benchmarks/timing/fullsize.py`), each a ratio or a table within one run:

1. 50 concepts, all their tokens: `scapre` and `scapre-released` in closed form, beside the bare matrix products that
   their formula cannot avoid (`benchmarks/timing/floor.py`); with text encoding, which is all that the released script
   does; and as a whole plan, with diagnostics and digests, which it does not have. Beside both stands the released
   algorithm at the released script's pace (`benchmarks/timing/transcription.py`), taken on the key and value matrices
   of two layers: its seconds a matrix in the encoder and on tokens, times 32, and its seconds a row, times 24,960.
2. The engine's text encoding beside the encoder's own forward pass.
3. 1 to 10,000 concepts: closed form and peak memory of every editor (`benchmarks/timing/grid.py`).
4. The bare products alone by number of concepts, once each, for what no machine like this one can go below.
5. 50 concepts on layers of the size of Stable Diffusion XL and FLUX.1 (`benchmarks/timing/layers.py`).
6. 50 concepts by the default editor as a policy has it, with its wordings and vocabulary; and again, when what the
   encoder makes of the vocabulary is in a store.
7. 50 concepts by `scapre` with each of ScaPre's own parts on, which are off in the default
   (`benchmarks/timing/scapre_parts.py`).
8. What `scapre-released` saves by summing once for all rows that share a mask (`benchmarks/timing/masks.py`).

Closed form is all of a plan but the encoder and the tokenizer: tokens into moments, and the editor. But for part 6
names are bare, as the released script takes them, and no general words are retained. The encoder's time is as the
prompts then: of a target 1 for its name, or 14 wordings; of the vocabulary 3 a word, whatever the number of concepts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import expunge.engine
from benchmarks.common.page import put, table
from benchmarks.timing import floor, grid, layers, masks, scapre_parts
from benchmarks.timing.fullsize import FULL, SHALLOW, Size, pipeline, spec
from benchmarks.timing.plans import Timed, settings, settle, timed
from benchmarks.timing.transcription import transcribed
from expunge.engine.editors import EDITORS
from expunge.engine.editors.scapre_released import ReleasedSettings
from expunge.engine.families import projections
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.text.encoding import BATCH, encode

HEADLINE, COUNTS = 50, (1, 10, 100, 1000, 10_000)
HEADLINERS = ("scapre", "scapre-released")
DEFAULT, ROWS = "scapre", 60
CLOSED_FORM = (*HEADLINERS, "uce", "rece", "speed", "oce", "mace-cfr")


def headline(size: Size, count: int, device: str, repeats: int, most: int | None) -> str:
    """Part 1; `most` rows of a matrix are transcribed."""
    transcription, slow, silent = released(size, count, most)
    model = pipeline(size, device=device)
    lines = []
    for editor in HEADLINERS:
        best, whole = fastest(model, editor, count, device, repeats)
        bare = floor.seconds(list(needed(model, editor, size, count)), device, repeats)
        seconds = (bare, best.closed_form, best.encoding, whole)
        ratios = (slow / best.closed_form, silent / best.closed_form)
        ratios += (slow / (best.encoding + best.closed_form), slow / whole)
        cells = [f"{value:.2f}" for value in (*seconds, best.closed_form / bare)]
        lines.append([editor, *cells, *(f"{ratio:.0f}" for ratio in ratios)])
    header = ["editor", "bare products, s", "closed form, s", "text encoding, s", "whole plan, s"]
    header += [
        "closed form / bare",
        "released / closed form",
        "released without its encoder / closed form",
        "released / encoding and closed form",
        "released / whole",
    ]
    return f"{count} concepts, all their tokens:\n\n{table(header, lines)}\n\n{transcription}"


def fastest(model: object, editor: str, count: int, device: str, repeats: int) -> tuple[Timed, float]:
    """Return the parts of the plan with the fastest closed form of `repeats`, and the least seconds of the whole."""
    parts, wholes = [], []
    for _ in range(repeats):
        parts.append(timed(model, editor, count, device))
        start = time.perf_counter()
        plan(model, spec(count, editor, settings(editor)))
        wholes.append(time.perf_counter() - start)
    return min(parts, key=lambda part: part.closed_form), min(wholes)


def needed(model: object, editor: str, size: Size, count: int) -> list[floor.Product]:
    """Return the products that the editor cannot do without; of a name of two words two tokens come before its last."""
    tokens = count * (size.tokens if editor == "scapre" else size.tokens - 2)
    return list(floor.products(editor, [len(p.weight) for p in projections(model)], size.width, count, tokens))


def bare(size: Size, counts: Sequence[int], device: str) -> str:
    """Part 4."""
    model = pipeline(size, device=device)
    lines = [
        [editor, *(f"{floor.seconds(needed(model, editor, size, count), device, 1):.2f} s" for count in counts)]
        for editor in HEADLINERS
    ]
    return f"Bare products by number of concepts:\n\n{table(['editor', *map(str, counts)], lines)}"


def released(size: Size, count: int, most: int | None) -> tuple[str, float, float]:
    """Time the transcription on the first `most` rows of the matrices of two layers.

    It returns a text, and seconds for the whole model: of all of it, and of all but the encoder.
    """
    model = pipeline(size)
    found = projections(model)
    names = [target.names[0] for target in spec(count, "scapre-released", {}).targets]
    firsts = {len(p.weight): p.name.rsplit(".", 2)[0] for p in reversed(found)}
    smallest = [firsts[rows] for rows in sorted(firsts)[:2]]
    chosen = [p for p in found if p.name.rsplit(".", 2)[0] in smallest]
    runs = []
    for one in chosen:
        kind = [p.weight.detach() for p in found if p.kind == one.kind]
        runs.append(transcribed(model, names, one.weight.detach()[:most], ReleasedSettings(), kind))
    encoder, tokens = (sum(getattr(run, part) for run in runs) / len(runs) for part in ("encoding", "tokens"))
    measured = sum(len(run.rows) for run in runs)
    row = sum(run.solving for run in runs) / measured
    silent = tokens * len(found) + row * sum(len(p.weight) for p in found)
    total = encoder * len(found) + silent
    spent = sum(run.encoding + run.tokens + run.solving for run in runs)
    text = (
        f"The released algorithm, {count} concepts: {measured} rows of {len(chosen)} matrices took {spent:.1f} s: "
        f"{encoder:.2f} s a matrix in the encoder, {tokens:.2f} s a matrix on tokens and {1000 * row:.1f} ms a row, "
        f"for the whole model {total:.0f} s, {silent:.0f} s of it without the encoder."
    )
    return text, total, silent


def encoding(size: Size, count: int, device: str) -> str:
    """Time the engine's encoding of names beside the encoder's forward pass on the same tokens in the same batches."""
    model = pipeline(size, device=device)
    names = [target.names[0] for target in spec(count, "uce", {}).targets]
    encode(model, names[:BATCH])
    start = time.perf_counter()
    encode(model, names)
    settle(device)
    ours = time.perf_counter() - start
    ids = model.tokenizer(names, padding="max_length", return_tensors="pt").input_ids.to(device)
    start = time.perf_counter()
    with torch.no_grad():
        for part in ids.split(BATCH):
            model.text_encoder(part)
    settle(device)
    bare = time.perf_counter() - start
    return (
        f"Text encoding of {count} names takes {ours:.2f} s, the encoder alone in the same batches {bare:.2f} s "
        f"(ratio {ours / bare:.2f}), {1000 * bare / count:.0f} ms a name."
    )


def default(size: Size, count: int, device: str, most: int) -> str:
    """Part 6; `most` rows of a matrix are transcribed."""
    transcription, slow, _ = released(size, count, most)
    model = pipeline(size, device=device)
    with tempfile.TemporaryDirectory() as folder:
        part, later = (timed(model, DEFAULT, count, device, {}, WordStore(Path(folder))) for _ in range(2))
    whole = part.encoding + part.closed_form
    return (
        f"{count} concepts by `{DEFAULT}` with its defaults: {part.prompts} prompts, {part.encoding:.0f} s in the "
        f"encoder; {part.moments:.1f} s of tokens into moments and {part.editor:.2f} s in the editor. The released "
        f"algorithm takes {slow / part.closed_form:.0f} times the closed form, and {slow / whole:.1f} times that with "
        f"text encoding. The next edit of the model, for which its words are kept, encodes {later.prompts} prompts in "
        f"{later.encoding:.0f} s, {part.encoding / later.encoding:.1f} times as fast.\n\n{transcription}"
    )


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    count, rows, counts, repeats = (5, 8, (1, 10), 1) if args.quick else (HEADLINE, args.rows, COUNTS, 3)
    counts = args.concepts or counts
    editors = args.editor or [name for name in CLOSED_FORM if name in EDITORS]
    measures = {
        "headline": lambda: headline(FULL, count, args.device, repeats, rows),
        "encoding": lambda: encoding(FULL, 2 * count, args.device),
        "layers": lambda: layers.report(args.editor or ["scapre"], count, args.device),
        "bare": lambda: bare(SHALLOW, args.concepts or counts[:-1], args.device),
        "default": lambda: default(FULL, count, args.device, rows or ROWS),
        "scapre": lambda: scapre_parts.report(SHALLOW, count, args.device, repeats),
        "masks": lambda: masks.report(FULL, count, args.device, repeats),
        "grid": lambda: grid.report(editors, counts, args.device, args.threads, args.limit),
    }
    for part in args.part:
        versions = f"expunge {expunge.engine.__version__}, torch {torch.__version__}"
        machine = f"{versions}, {args.device}, {args.threads} threads, float32 weights."
        text = f"{machine}\n\n{measures[part]()}"
        print(text, flush=True)
        if args.write:
            put(f"speed-{part}", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["headline", "encoding", "layers", "grid", "bare", "default", "scapre", "masks"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--quick", action="store_true", help="few concepts and rows, to see that it runs")
    parser.add_argument("--editor", action="append", help="of the grid (every one by default) and of layers")
    parser.add_argument("--concepts", type=int, nargs="+", help="of grid and bare")
    parser.add_argument("--rows", type=int, help="of each matrix in the transcription; all by default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a cell of the grid may take")
    parser.add_argument("--write", action="store_true", help="then write docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
