"""The content of a model folder: all that `from_pretrained` reads, whole, and a few words and pictures for people.

Anything else is refused before it is copied or published. The folders of model hubs often hold the model a second time,
as one file in the root, for other programs or in a cache. No edit reaches that copy, and it brings the concept back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.reading.configs import read_config
from expunge.engine.files.reading.tensor_headers import stored_tensors

INDEX = "model_index.json"
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
VARIANTS = ("fp16", "bf16")
PROSE = re.compile(r"(README|LICEN[SC]E|NOTICE)[^.]*|[^.].*\.(md|txt|png|jpe?g|webp)|\.gitattributes", re.IGNORECASE)
WEIGHTLESS = re.compile("Tokenizer|Scheduler|Processor|FeatureExtractor")
NETWORK_CONFIGS = {"diffusers": {"config.json"}, "transformers": {"config.json", "generation_config.json"}}
TOKENIZER_FILES = {
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "chat_template.json"),
}
PROCESSOR_FILES = {"preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"}
UNREAD = "safety_checker"
"""The component that turns pictures black, which would count as erased. It is never opened, and it may be missing."""
CLEAN_COPY = (
    "a clean copy: `DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=True, torch_dtype=TYPE)` in diffusers, "
    "with the type its files have, then `save_pretrained(NEW_FOLDER, safe_serialization=True, max_shard_size='4GB')`"
)
NAMED = 3


@dataclass(frozen=True)
class Component:
    """A folder that the index names: an object of the class `kind` of `library`."""

    folder: Path
    library: str
    kind: str

    @property
    def has_weights(self) -> bool:
        return not WEIGHTLESS.search(self.kind)

    @property
    def stem(self) -> str:
        return "diffusion_pytorch_model" if self.library == "diffusers" else "model"

    def weights(self, variant: str = "") -> list[Path]:
        """Return the files that `from_pretrained` reads, with a variant or without; empty if it would find none.

        Raises:
            ModelFormatError: there are both a whole file and shards of it.
        """
        dotted = f".{variant}" if variant else ""
        whole, index = self.folder / f"{self.stem}{dotted}.safetensors", self._index(variant)
        if not index.is_file():
            return [whole] if whole.is_file() else []
        if whole.is_file():
            raise ModelFormatError(f"{self.folder} holds {whole.name} and shards of it ({index.name}); delete either")
        return [self.folder / shard for shard in sorted(set(_weight_map(index).values()))]

    def places(self, variant: str = "") -> dict[str, Path]:
        """Return the file that holds each weight.

        A weight in shards must lie in the shard that the index names and in no other, because readers do not agree on
        which of two they take.

        Raises:
            ModelFormatError: it lies elsewhere.
        """
        index, lying = self._index(variant), [(key, path) for path in self.weights(variant) for key in keys(path)]
        if index.is_file():
            shards = _weight_map(index)
            for key, path in lying:
                if shards.get(key) != path.name:
                    raise ModelFormatError(
                        f"{path} holds {key}, which by {index.name} lies in {shards.get(key, 'no shard')}: whoever "
                        "reads the other has another model; download both again"
                    )
        return dict(lying)

    def _index(self, variant: str) -> Path:
        dotted = f".{variant}" if variant else ""
        return self.folder / f"{self.stem}.safetensors.index{dotted}.json"

    def stored(self) -> dict[str, list[Path]]:
        """Return the weight files by variant: under "" those without one, and each variant that has files."""
        found = {variant: self.weights(variant) for variant in ("", *VARIANTS)}
        return {variant: paths for variant, paths in found.items() if paths or not variant}

    def weight_files(self) -> list[Path]:
        """Return the files that hold the weights in any variant, and the indexes of shards."""
        stored = self.stored()
        indexes = [index for variant in stored if (index := self._index(variant)).is_file()]
        return [*(path for paths in stored.values() for path in paths), *indexes]

    def may_hold(self, path: Path) -> bool:
        """Return whether a loader of this component reads a file of this name; no other file belongs there."""
        if self.has_weights:
            return path.name in NETWORK_CONFIGS.get(self.library, {"config.json"}) or path in self.weight_files()
        if "Scheduler" in self.kind:
            return path.name == "scheduler_config.json"
        return path.name in TOKENIZER_FILES or ("Tokenizer" not in self.kind and path.name in PROCESSOR_FILES)


def read_index(folder: Path) -> dict[str, Any]:
    try:
        index = read_config(folder / INDEX)
        if not isinstance(index, dict):
            raise TypeError(INDEX)
    except (OSError, TypeError) as error:
        raise ModelFormatError(f"{folder}: no readable {INDEX}; give a folder in diffusers layout") from error
    return index


def components(folder: Path) -> dict[str, Component]:
    """Return the components by name, without those that the model does not have by its index."""
    named = {name: kind for name, kind in read_index(folder).items() if isinstance(kind, list) and len(kind) == 2}
    return {
        name: Component(folder / name, *kind)
        for name, kind in named.items()
        if all(isinstance(part, str) for part in kind)
    }


def check_layout(folder: Path, found: Sequence[Path]) -> None:
    """Refuse a model's folder in which a file has no place. `found` are all its files.

    Raises:
        ModelFormatError: names the files that have no place.
    """
    if pickles := [path for path in found if path.suffix.lower() in PICKLES]:
        unread = all(path.parent == folder / UNREAD for path in pickles)
        cure = (
            f"delete {UNREAD}, which is never read"
            if unread
            else f"convert them to safetensors and remove them, or take {CLEAN_COPY}"
        )
        raise ModelFormatError(f"{folder} holds pickles, which could run code: {few(_inside(folder, pickles))}; {cure}")
    if unlisted := [name for name in _inside(folder, found) if not is_listable(name)]:
        raise ModelFormatError(
            f"{folder} holds {few([repr(name) for name in unlisted])}, with a sign that no manifest can name: rename "
            "or delete what is named here"
        )
    if alike := _alike(_inside(folder, found)):
        raise ModelFormatError(
            f"{folder} holds {few(alike)}, which are one file where capitals make no difference; keep the one that is "
            "read"
        )
    known = components(folder)
    if strange := [path for path in found if not _belongs(path, folder, known)]:
        raise ModelFormatError(
            f"{folder} holds {few(_outermost(folder, strange, known))}: not what {INDEX} names and `from_pretrained` "
            f"reads, so it would be published unedited; delete what is named here, or take {CLEAN_COPY}"
        )


def _alike(names: Sequence[str]) -> list[str]:
    """Return the names that some systems take for one and the same."""
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    return [name for same in folded.values() if len(same) > 1 for name in same]


def is_listable(name: str) -> bool:
    """Return whether a manifest can hold this file name: it is printable, and the same path on every system."""
    return name.isprintable() and "\\" not in name


def check_complete(folder: Path) -> None:
    """Refuse a model without one of its components, or without each weight that would be read, once.

    Raises:
        ModelFormatError: names the first component that is missing or incomplete.
    """
    for name, component in components(folder).items():
        if name == UNREAD:
            continue
        if not component.folder.is_dir():
            raise ModelFormatError(f"{folder} has no folder {name}, which {INDEX} names; download it again")
        if component.has_weights:
            _check_weights(component)


def _check_weights(component: Component) -> None:
    stored = component.stored()
    if missing := [path for paths in stored.values() for path in paths if not path.is_file()]:
        raise ModelFormatError(f"{missing[0]} is missing, a shard that the index names; download it again")
    for variant in stored:
        component.places(variant)
    if stored.pop(""):
        return
    if variant := next(iter(stored), ""):
        raise ModelFormatError(
            f"{component.folder} holds its weights only as the variant {variant}; save the model again without one: "
            f'`DiffusionPipeline.from_pretrained(FOLDER, variant="{variant}")` in diffusers, then '
            "`save_pretrained(NEW_FOLDER, safe_serialization=True)`"
        )
    raise ModelFormatError(f"{component.folder} holds no {component.stem}.safetensors; download it again")


def _weight_map(index: Path) -> dict[str, str]:
    """Return the shard that holds each weight."""
    try:
        shards = dict(read_config(index)["weight_map"])
        if not shards or any(Path(name).name != name or not name.endswith(".safetensors") for name in shards.values()):
            raise LookupError(shards)
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{index} does not say which safetensors files it is of; download it again") from error
    return shards


def keys(path: Path) -> list[str]:
    """Return the names of a file's tensors.

    Raises:
        ModelFormatError: the header cannot be read, is beyond all bounds, or names more or fewer bytes than are there.
    """
    stored_tensors(path)
    try:
        with safe_open(path, "np") as handle:  # names alone need no torch
            return list(handle.keys())
    except SafetensorError as error:
        raise ModelFormatError(f"{path} is no whole safetensors file ({error}); download it again") from error


def _belongs(path: Path, folder: Path, known: Mapping[str, Component]) -> bool:
    match path.relative_to(folder).parts:
        case (name,):
            return name == INDEX or PROSE.fullmatch(name) is not None
        case (name, _) if name in known:
            return known[name].may_hold(path)
        case _:
            return False


def _inside(folder: Path, paths: Sequence[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def _outermost(folder: Path, paths: Sequence[Path], known: Collection[str]) -> list[str]:
    """Return the paths, where a folder that is no component counts as one, because a cache has many files."""
    split = [(name, *name.partition("/")) for name in _inside(folder, paths)]
    return list(dict.fromkeys(top + slash if slash and top not in known else name for name, top, slash, _ in split))


def few(names: Sequence[str]) -> str:
    """Return the first of the names as text, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
