"""A check that a model's folder can be read without harm, before it is hashed and before any class is built of it.

A class makes as many layers, and tables as long, as its settings say, before it looks at a single weight. So a model of
one megabyte can ask for hours and for all memory. The check knows no classes. A number is a count unless its name says
that it is the size of something, and there are no more layers than a quarter of the tensors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import INDEX, UNREAD, Component, components
from expunge.engine.files.reading.configs import read_config
from expunge.engine.files.reading.strict_json import MOST_BYTES
from expunge.engine.files.reading.tensor_headers import stored_tensors

FEW = 64
TENSORS_A_LAYER = 4  # queries, keys, values and what is made of them
LONGEST = 2**20  # places in a text, and what else is a place
WIDEST = 2**16
STEPS = 100_000
LISTED = 4096
NO_LIMIT = 10**20
"""A tokenizer without a limit is saved with a larger number than this."""
COUNT = re.compile(r"(?<!window_)layer|_per_block|depth|stages|experts|heads|blocks$")
PLACE = re.compile(
    r"position|length|theta|(^|_)ids?$|ind(ex|ices)|window|tokens|seed|distance|timesteps|bytes|version|area|"
    r"factor|_lens?$"
)
SIZE = re.compile(
    r"size|dim|channels|width|height|features|hidden|d_ff|d_model|d_kv|embd|embed|inner|rank|pixels|samples?$|frames|"
    r"stride|scal|ratio$|seq_len|divisor|multiple"
)
UNBUILT = "label2id"  # numbers under names of the maker's choice, from which nothing is built
AGAIN = "download it again"


def check_sound(folder: Path) -> None:
    """Refuse a model's folder that could do harm when it is read.

    Nothing is opened that could block, and no more is read than was checked before.

    Raises:
        ModelFormatError: names what is no plain file, is too large to be what it says, or holds a number that its
            weights make absurd.
    """
    for path in files(folder):
        _check_body(path)
    if not (folder / INDEX).is_file():
        return
    parts = components(folder)
    for name, component in parts.items():
        if name == UNREAD or not component.folder.is_dir():
            continue
        if "Tokenizer" in component.kind:
            _check_tokenizer(component, parts.get(name.replace("tokenizer", "text_encoder")))
        elif component.has_weights:
            _check_network(component)
        else:
            for path in sorted(component.folder.glob("*.json")):
                _check_numbers(path, STEPS, STEPS, STEPS, LISTED)


def _check_body(path: Path) -> None:
    with open(path, "rb") as handle:
        start = handle.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise ModelFormatError(f"{path} is a Git LFS pointer, not the file; run `git lfs pull`")
    if path.suffix == ".safetensors":
        if start.lstrip()[:1] == b"<":
            raise ModelFormatError(f"{path} is a web page, not weights; download it again, signed in if need be")
        if not stored_tensors(path):
            raise ModelFormatError(f"{path} is no whole safetensors file (it holds no tensor); {AGAIN}")
    elif path.stat().st_size > MOST_BYTES:
        raise ModelFormatError(f"{path} has {path.stat().st_size} bytes, and holds no weights; remove what it is not")
    if path.suffix == ".json":
        read_config(path)


def _check_network(component: Component) -> None:
    stored = [
        path for paths in component.stored().values() for path in paths if path.is_file()
    ]  # missing ones are refused later
    tensors = [tensor for path in stored for tensor in stored_tensors(path)]
    layers = max(FEW, len(tensors) // TENSORS_A_LAYER)
    widest = max([WIDEST, *(side for tensor in tensors if tensor.count for side in tensor.shape)])
    _check_numbers(component.folder / "config.json", layers, widest, max(LONGEST, widest), layers)


def _check_tokenizer(tokenizer: Component, encoder: Component | None) -> None:
    """Refuse a tokenizer of longer prompts than any encoder reads, or than its own encoder has places for."""
    path = tokenizer.folder / "tokenizer_config.json"
    stated = _settings(path).get("model_max_length", 0)
    if not _is_number(stated) or LONGEST < stated < NO_LIMIT:
        raise ModelFormatError(f"{path}: model_max_length is {_shown(stated)}, and no text has so many tokens; {AGAIN}")
    places = _settings(encoder.folder / "config.json").get("max_position_embeddings") if encoder else None
    if encoder and encoder.kind.startswith("CLIP") and _is_number(places) and stated > places:
        where = f"{encoder.folder.name} has places for {_shown(places)}"
        raise ModelFormatError(f"{path}: model_max_length is {_shown(stated)}, and {where}; {AGAIN}")


def _check_numbers(path: Path, layers: int, widest: int, longest: int, listed: int) -> None:
    """Refuse a number above what its name allows, and a list of more than `listed` items."""
    for name, number, is_length in _numbers(_settings(path)):
        most = listed if is_length else _most(name, layers, widest, longest)
        if number > most and not math.isinf(number):
            what = f"{name[:60]!r} is {'a list of ' if is_length else ''}{_shown(number)}"
            raise ModelFormatError(f"{path}: {what}, and by the weights it is {most} at most; {AGAIN}")


def _most(name: str, layers: int, widest: int, longest: int) -> int:
    """Return how large a number of this name may be. One that is not known to be a size is a count."""
    if COUNT.search(name):
        return layers
    return longest if PLACE.search(name) else widest if SIZE.search(name) else layers


def _numbers(value: Any) -> Iterator[tuple[str, float, bool]]:
    """Yield every number with the name that it has, or the list that it is in; of a list also its length."""
    waiting = [("", value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(key, one) for key, one in value.items() if key != UNBUILT]
        elif isinstance(value, list):
            yield name, len(value), True
            waiting += [(name, one) for one in value]
        elif _is_number(value):
            yield name, abs(value), False


def _settings(path: Path) -> dict[str, Any]:
    stated = read_config(path) if path.is_file() else {}
    return stated if isinstance(stated, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(number: Any) -> str:
    return f"{number:g}" if isinstance(number, float) else f"{str(number)[:20]}"
