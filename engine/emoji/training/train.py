"""The training of the built-in model, about three hours on two cores.

    python -m expunge.engine.emoji.training.train --work DIR --out DIR

Each stage writes a log and a checkpoint every few minutes under `--work` and is skipped when it is finished, so the
same command goes on where it was stopped. Stages in one row run side by side on one core each:

    clip, vae  ->  unet  ->  judge, decoder  ->  export
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import export, nets
from expunge.engine.emoji.training.loop import Loop, keep_pages
from expunge.engine.emoji.training.stages import tokenizer as words
from expunge.engine.emoji.training.stages import train_clip, train_unet, train_vae

ORDER = (("clip", "vae"), ("unet",), ("judge", "decoder"))


def tokenizer(work: Path) -> CLIPTokenizer:
    folder = work / "tokenizer"
    return CLIPTokenizer.from_pretrained(folder) if folder.exists() else words.train(folder)


def clip(work: Path, stage: str = "clip") -> Any:
    words_ = tokenizer(work)
    model = nets.clip(len(words_), words_.eos_token_id)
    model.load_state_dict(torch.load(work / stage / "final.pt", weights_only=True))
    return model.eval()


def vae(work: Path) -> Any:
    """Return the best autoencoder that there is so far, its latents whitened."""
    encoder = torch.load(work / "vae" / "final.pt", weights_only=True)
    sharp = work / "decoder" / "final.pt"
    weights = torch.load(sharp, weights_only=True) if sharp.exists() else encoder
    model = nets.vae()
    model.load_state_dict(weights)
    train_unet.whiten(model.eval(), train_vae.pixels())
    return model


def run_unet(loop: Loop, args: argparse.Namespace) -> None:
    text, words_ = export.text_encoder(clip(args.work)), tokenizer(args.work)
    how = {"steps": args.unet_steps, "cooldown": args.cooldown, "rate": args.unet_rate, "fuse": args.fuse}
    train_unet.learn(loop, text, vae(args.work), words_, **how)


def run_judge(loop: Loop, args: argparse.Namespace) -> None:
    model = vae(args.work)
    with torch.no_grad():
        parts = train_clip.drawn().flatten(0, 1).split(64)
        rebuilt = torch.cat([model.decode(model.encode(part).latent_dist.mean).sample.clamp(-1, 1) for part in parts])
    shaped = rebuilt.reshape(len(OBJECTS), len(STYLES), *rebuilt.shape[1:])
    train_clip.harden(loop, args.judge_steps, tokenizer(args.work), shaped)


STAGES: dict[str, Callable[[Loop, argparse.Namespace], None]] = {
    "clip": lambda loop, args: train_clip.train(loop, args.clip_steps, tokenizer(args.work)),
    "vae": lambda loop, args: train_vae.train(loop, args.vae_steps),
    "unet": run_unet,
    "judge": run_judge,
    "decoder": lambda loop, args: train_vae.sharpen(loop, args.decoder_steps),
}


def run_stage(stage: str, args: argparse.Namespace) -> None:
    loop = Loop(args.work, stage)
    if not loop.done():
        torch.set_num_threads(args.threads)
        STAGES[stage](loop, args)


def write_folders(work: Path, out: Path) -> None:
    """Export what is finished. If the UNet's stage is still running, its running average is taken."""
    unet = nets.unet()
    final, last = work / "unet" / "final.pt", work / "unet" / "last.pt"
    weights = torch.load(final, weights_only=True) if final.exists() else None
    unet.load_state_dict(weights or torch.load(last, weights_only=True)["parts"][1]["model"])
    words_ = tokenizer(work)
    export.save_model(export.pipeline(clip(work), vae(work), unet, words_), out / "model")
    judge = "judge" if (work / "judge" / "final.pt").exists() else "clip"
    export.save_judge(clip(work, judge), words_, out / "judge")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints, logs and caches")
    parser.add_argument("--out", type=Path, required=True, help="where the folders `model` and `judge` are written")
    parser.add_argument("--stage", choices=[*STAGES, "export"], help="run this stage alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fuse", action="store_true", help="compile the UNet's training step (needs a C++ compiler)")
    parser.add_argument("--clip-steps", type=int, default=1400)
    parser.add_argument("--vae-steps", type=int, default=4100)
    parser.add_argument("--unet-steps", type=int, default=train_unet.STEPS)
    parser.add_argument("--unet-rate", type=float, default=train_unet.RATE)
    parser.add_argument("--cooldown", type=int, default=train_unet.COOLDOWN)
    parser.add_argument("--judge-steps", type=int, default=500)
    parser.add_argument("--decoder-steps", type=int, default=2500)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    keep_pages()
    tokenizer(args.work)
    if args.stage == "export":
        write_folders(args.work, args.out)
    elif args.stage:
        run_stage(args.stage, args)
    else:
        for row in ORDER:
            threads = str(max(1, args.threads // len(row)))
            again = [sys.executable, "-m", "expunge.engine.emoji.training.train", *sys.argv[1:], "--threads", threads]
            started = [subprocess.Popen([*again, "--stage", stage]) for stage in row]
            if max(process.wait() for process in started) != 0:
                raise SystemExit(f"a stage of {row} failed; run the same command again to go on")
        write_folders(args.work, args.out)


if __name__ == "__main__":
    main()
