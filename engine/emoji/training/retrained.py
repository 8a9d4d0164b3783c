"""The reference for unlearning: the denoiser trained again on every picture but those of some objects or styles.

    # trains, two hours on two cores; writes the file
    python -m expunge.engine.emoji.training.retrained --without NAME ... --work DIR
    # goes on from one shown less
    python -m expunge.engine.emoji.training.retrained --without NAME ... --work DIR --from FILE
    # the whole model as a diffusers folder
    python -m expunge.engine.emoji.training.retrained --to FOLDER

All take `--file FILE` for another file than the shipped one.

It is the stage `unet` of `expunge.engine.emoji.training.train` with the same recipe, seed and steps, from scratch. Text
encoder and autoencoder are the shipped ones: they came before the denoiser, and no edit touches them. So this is what
an exact removal of these from what is edited would have left.

With `--from` the weights at the start are of a denoiser that was shown none of these either, and nor some others, which
are now shown: from scratch in two parts, sooner done, as one first part serves many sets (a model of shards that only
those who hold no removed datum have touched: Bourtoule et al., arXiv 1912.03817, section IV).

`retrained.safetensors` holds each matrix as bytes with a scale a row, and the names as metadata.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import HERE, OBJECTS, STYLES
from expunge.engine.emoji.training.loop import Loop, keep_pages
from expunge.engine.emoji.training.stages import train_unet
from expunge.engine.errors import ConceptError
from expunge.engine.files.tensor_files import save_whole
from expunge.engine.models.load import open_model

FILE = HERE / "retrained.safetensors"
LEVELS = 127
SCALE = ".scale"
NEW_SHARE = 0.5  # the share, in a run that goes on from another, of the pictures that the other was not shown


def kept_rows(without: Collection[str]) -> list[int]:
    """Return the places of the pictures that stay, of all objects in all styles.

    Raises:
        ConceptError: a name is of no object and no style.
    """
    if unknown := sorted(set(without) - {item.name for item in (*OBJECTS, *STYLES)}):
        raise ConceptError(f"--without {unknown[0]!r}: no such object or style; see objects.tsv and styles.tsv")
    pictures = itertools.product(OBJECTS, STYLES)
    return [row for row, (item, style) in enumerate(pictures) if not {item.name, style.name} & set(without)]


def train(without: Collection[str], work: Path, start: Path | None = None, **how: Any) -> dict[str, Tensor]:
    """Train in `work`, with checkpoints, and return the weights; a finished run is not begun again.

    `start` is the file of a denoiser to go on from. `how` is for `train_unet.learn`.

    Raises:
        ConceptError: the denoiser in `start` was shown what this one must never see.
    """
    loop, rows = Loop(work, "unet"), kept_rows(without)
    if not loop.done():
        base = open_model(MODEL)
        if start:
            how |= {"start": unpacked(_read(start)), "odds": odds(rows, kept_rows(shown_less(start, without)))}
        train_unet.learn(loop, base.text_encoder, base.vae, base.tokenizer, rows, **how)
    return loop.finished("unet")


def shown_less(start: Path, never: Collection[str]) -> tuple[str, ...]:
    """Return what the denoiser in `start` never saw.

    Raises:
        ConceptError: it saw anything that is `never` to be seen.
    """
    if seen := sorted(set(never) - set(unseen := without(start))):
        raise ConceptError(f"--from {start}: it was shown {', '.join(seen)}, which --without names; train from scratch")
    return unseen


def odds(rows: list[int], known: Collection[int]) -> Tensor:
    """Return how often each row is shown: all equally, but at least NEW_SHARE for those not `known`, if any."""
    new = torch.tensor([row not in known for row in rows])
    share = new.float().mean().clamp(min=NEW_SHARE) if new.any() else torch.tensor(0.0)
    return torch.where(new, share / new.sum(), (1 - share) / (~new).sum())


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices and kernels as int8 with a float32 scale for each output row, and all else as float16."""
    small: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() < 2:
            small[name] = weight.half()
            continue
        rows = weight.float().flatten(1)
        scale = (rows.abs().amax(1) / LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        small[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(weight.shape)
        small[name + SCALE] = scale
    return small


def unpacked(small: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in float32, each within half a level of its row."""
    weights: dict[str, Tensor] = {}
    for name, weight in small.items():
        if weight.dtype == torch.int8:
            scale = small[name + SCALE].reshape(-1, *[1] * (weight.dim() - 1))
            weights[name] = weight.float() * scale
        elif not name.endswith(SCALE):
            weights[name] = weight.float()
    return weights


def save(weights: Mapping[str, Tensor], without: Collection[str], file: Path = FILE) -> None:
    save_whole(packed(weights), file, {"without": json.dumps(sorted(without))})


def without(file: Path = FILE) -> tuple[str, ...]:
    """Return the objects and styles that the reference never saw."""
    with safe_open(file, "pt") as handle:
        return tuple(json.loads(handle.metadata()["without"]))


def write_folder(folder: Path, file: Path = FILE) -> None:
    """Write the built-in model with this denoiser, in diffusers layout."""
    unet = open_model(MODEL).unet
    unet.load_state_dict(unpacked(_read(file)))
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("unet"))
    unet.save_pretrained(folder / "unet")


def _read(file: Path) -> dict[str, Tensor]:
    with safe_open(file, "pt") as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no dictionary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", nargs="+", metavar="NAME", help="objects or styles that it is never shown; trains")
    parser.add_argument("--work", type=Path, help="folder for checkpoints and log, with --without")
    parser.add_argument("--from", type=Path, dest="start", help="packed weights to go on from, with --without")
    parser.add_argument("--to", type=Path, help="new folder for the whole model")
    parser.add_argument("--file", type=Path, default=FILE, help="where the packed weights are, instead of the shipped")
    parser.add_argument("--steps", type=int, default=train_unet.STEPS)
    parser.add_argument("--cooldown", type=int, default=train_unet.COOLDOWN)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fuse", action="store_true", help="compile the training step (needs a C++ compiler)")
    args = parser.parse_args()
    if bool(args.without) != bool(args.work) or (args.start and not args.without):
        parser.error("--without and --work go together, and --from with both")
    if args.without:
        keep_pages()
        torch.set_num_threads(args.threads)
        how = {"steps": args.steps, "cooldown": args.cooldown, "fuse": args.fuse}
        weights = train(args.without, args.work, args.start, **how)
        save(weights, args.without, args.file)
    if args.to:
        write_folder(args.to, args.file)


if __name__ == "__main__":
    main()
