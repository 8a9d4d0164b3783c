"""A model's folder is made by a stranger: what harms whoever opens it ends with exit code 6, in seconds and 2 GB."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.files.digests import MOST_FILES
from expunge.engine.files.reading.strict_json import MOST_BYTES, JsonError, parse_json
from expunge.engine.models.load import open_model
from expunge.tasks.core.errors import IntegrityError, exit_code_of
from expunge.tasks.storage.external_model import given_model
from expunge.tasks.storage.manifest import parse
from expunge.tasks.storage.pointer import Pointer
from tests.engine import tiny

SECONDS, BYTES = 10, 2 * 2**30
UNET, ENCODER, TOKENIZER = "unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"
SCHEDULER, WEIGHTS = "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors"
Harm = Callable[[Path], object]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model") / "base")


def within_limits(use: Callable[[Path], object], folder: Path) -> int:
    """The exit code that `use` of a folder comes to in a process that has seconds and 2 GB more than it was born with;
    a negative one is the signal that ended it."""
    process = multiprocessing.get_context("fork").Process(target=_limited, args=(use, folder))
    process.start()
    process.join(4 * SECONDS)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _limited(use: Callable[[Path], object], folder: Path) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        use(folder)
    except Exception as error:
        os._exit(exit_code_of(error))
    os._exit(0)


def says(name: str, content: bytes) -> Harm:
    return lambda folder: (folder / name).write_bytes(content)


def sets(name: str, **values: Any) -> Harm:
    def harm(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return harm


def headed(header: bytes, length: int | None = None) -> Harm:
    return says(WEIGHTS, struct.pack("<Q", len(header) if length is None else length) + header)


def fifo(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return harm


def bind(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("README.md")
    finally:
        os.chdir(before)


def mostly_holes(folder: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**37], "data_offsets": [0, 2**39]}}).encode()
    headed(header)(folder)
    os.truncate(folder / WEIGHTS, 8 + len(header) + 2**39)


def crowd(folder: Path) -> None:
    (folder / "unet" / "more").mkdir()
    for number in range(MOST_FILES + 1):
        (folder / "unet" / "more" / str(number)).touch()


def link(folder: Path) -> None:
    (folder / "README.md").symlink_to("/dev/zero")


EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HARMS: dict[str, Harm] = {
    **{f"a depth bomb in {name}": says(name, DEEP) for name in (UNET, "model_index.json", TOKENIZER)},
    "a million brackets": says("tokenizer/tokenizer.json", b"[" * 1_000_000),
    "a bomb of 65 levels": says(UNET, b'{"a":' * 65 + b"1" + b"}" * 65),
    "a number of a million digits": says(UNET, b'{"in_channels": ' + b"9" * 1_000_000 + b"}"),
    "a huge file of settings": says(UNET, b" " * (MOST_BYTES + 1)),
    "twenty million values": says("tokenizer/tokenizer.json", b"[" + b"0," * 20_000_000 + b"0]"),
    "a name twice": says(UNET, b'{"in_channels": 4, "in_channels": 5}'),
    "not a number": says(UNET, b'{"in_channels": NaN}'),
    "settings in UTF-16": says(UNET, '{"in_channels": 4}'.encode("utf-16")),
    "1e8 layers": sets(ENCODER, num_hidden_layers=1e8),
    "100,000,000 layers": sets(ENCODER, num_hidden_layers=10**8),
    "1,000 layers": sets(ENCODER, num_hidden_layers=1000),
    "a million heads": sets(ENCODER, num_attention_heads=10**6),
    "a vocabulary of 1e9": sets(ENCODER, vocab_size=10**9),
    "a text of 1e9 places": sets(ENCODER, max_position_embeddings=10**9),
    "states of 1e9": sets(ENCODER, hidden_size=10**9),
    "a million layers a block": sets(UNET, layers_per_block=10**6),
    "1e9 channels": sets(UNET, block_out_channels=[10**9, 10**9]),
    "1e9 channels in": sets(UNET, in_channels=10**9),
    "100,000 blocks": sets(UNET, block_out_channels=[32] * 100_000),
    "1e9 classes": sets(UNET, num_class_embeds=10**9),
    "1e9 channels of a picture's code": sets("vae/config.json", latent_channels=10**9),
    "1e9 steps": sets(SCHEDULER, num_train_timesteps=10**9),
    "a million betas": sets(SCHEDULER, trained_betas=[0.1] * 1_000_000),
    "prompts of 1e9 tokens": sets(TOKENIZER, model_max_length=10**9),
    "prompts of more tokens than the encoder has places": sets(TOKENIZER, model_max_length=10**5),
    "prompts of no number of tokens": sets(TOKENIZER, model_max_length="many"),
    "300,000 tensors": headed(json.dumps({f"w{number}": EMPTY for number in range(300_000)}).encode()),
    "a header without an end": headed(b"{", 2**60),
    "a deep header": headed(DEEP),
    "a tensor of no shape": headed(json.dumps({"w": {**EMPTY, "shape": [-1, 2]}}).encode()),
    "weights that are mostly holes": mostly_holes,
    **{f"a pipe as {name}": fifo(name) for name in ("README.md", UNET, WEIGHTS, "model_index.json", TOKENIZER)},
    "a socket": bind,
    "a link to a device": link,
    "more files than any model has": crowd,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_attack_a_folder_harms_whoever_opens_it(harm: Harm, saved: Path, tmp_path: Path) -> None:
    """As a model that is handed over to be verified, as a base is before its digest is taken, and as it is opened."""
    folder = Path(shutil.copytree(saved, tmp_path / "base"))
    harm(folder)
    assert within_limits(given_model, folder) == within_limits(open_model, folder) == 6


def test_attack_a_device_lies_in_a_folder(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "base"))
    try:
        os.mknod(folder / "README.md", 0o600 | 0o020000, os.makedev(1, 5))
    except OSError:
        pytest.skip("only an administrator makes devices")
    assert within_limits(open_model, folder) == 6


def test_a_folder_without_harm_is_opened_within_the_same_limits(saved: Path) -> None:
    """The positive control: what ends with 6 above ends so by what was done to the folder."""
    assert within_limits(given_model, saved) == 0


@pytest.mark.parametrize("content", [DEEP, b"[" * 1_000_000, b'{"bundle": "a", "bundle": "b"}', b" " * 5_000_000, b"1"])
def test_attack_a_pointer_or_a_manifest_in_s3_is_a_bomb(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="pointer"):
        _ = Pointer(content, "").bundle
    with pytest.raises(IntegrityError, match="not of the form"):
        parse(content, "manifest.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"a": 1, "a": 2}', "says 'a' twice"),
        (b"[" * 65 + b"]" * 65, "nested more than 64 deep"),
        (b"NaN", "NaN"),
        (b"\xff", "no JSON"),
        (b"", "no JSON"),
        (b'{"a": 1} 2', "no JSON"),
        (b"0" * 11, "more than 10 bytes"),
    ],
)
def test_json_is_read_strictly(content: bytes, problem: str) -> None:
    with pytest.raises(JsonError, match=problem):
        parse_json(content, 10 if content.startswith(b"00") else 1000)
    assert parse_json(b'{"a": [1, 2.5, null, "\xc3\xa9", -Infinity]}') == {"a": [1, 2.5, None, "é", float("-inf")]}
    assert parse_json(b"[" * 64 + b"]" * 64)
