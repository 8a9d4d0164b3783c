"""The comparison of a candidate with its base plus the declared edit, byte by byte.

Whoever supplies a candidate may be hostile. So no list here says what is dangerous. Any file or weight that is not the
base's own, or the base's with the edit added, is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from expunge.engine.families import family_named
from expunge.engine.files.comparison import Comparison, Difference
from expunge.engine.files.digests import file_digest, files_by_name
from expunge.engine.files.model_layout import INDEX, UNREAD, Component, components, few
from expunge.engine.files.tensor_files import WeightReader, same_bits, same_value
from expunge.engine.models.format import check_format, pipeline_name
from expunge.engine.plans.edit_plan import edited


def compare(model: Path, base: Path, deltas: Mapping[str, Tensor] | None = None) -> Comparison:
    """Return how the pipeline folder `model` differs from `base` with `deltas` added; {} stands for no edit at all.

    If `deltas` is None, the edit is not known. Any weight of a denoiser may then differ, and so may its division into
    files. Weights are compared by their bits, all other files by their bytes. The order of the weights in a file makes
    no difference. One weight at a time is in memory.

    Raises:
        ModelFormatError: a folder is no whole model.
        EditError: a sum is not finite.
    """
    for folder in (model, base):
        check_format(folder)
    job = _Job(model, base, deltas, family_named(pipeline_name(base)).denoisers)
    differences = (*job.other_files(), *job.weights(), *job.missing_weights())
    return Comparison(deltas is not None, differences, tuple(sorted(job.unchanged)))


@dataclass
class _Job:
    """The state of one comparison.

    `seen` are the weights that were compared, `unchanged` the denoisers without a change so far.
    """

    model: Path
    base: Path
    deltas: Mapping[str, Tensor] | None
    denoisers: tuple[str, ...]
    seen: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)

    def other_files(self) -> Iterator[Difference]:
        """Yield the differences in files that hold no weights, and the files that only one of the two has."""
        ours, theirs = files_by_name(self.model), files_by_name(self.base)
        held = _weight_files(self.model) | _weight_files(self.base)
        for name in sorted(ours.keys() | theirs.keys()):
            if name in held and self._may_be_cut_anew(name):
                continue
            if name not in ours:
                yield _difference(name, "is missing, which the base has")
            elif name not in theirs:
                yield _difference(name, "is not in the base")
            elif name not in held and file_digest(ours[name]) != file_digest(theirs[name]):
                yield _difference(name, "is not the base's")

    def _may_be_cut_anew(self, name: str) -> bool:
        return self.deltas is None and name.partition("/")[0] in self.denoisers

    def weights(self) -> Iterator[Difference]:
        """Yield the files with weights that are not what they have to be.

        Variants were compared with these by `check_format`.
        """
        ours, theirs = components(self.model), components(self.base)
        for name in sorted(ours.keys() & theirs.keys() - {UNREAD}):
            if ours[name].has_weights and theirs[name].has_weights:
                yield from self._component(name, ours[name], theirs[name])

    def _component(self, name: str, ours: Component, theirs: Component) -> Iterator[Difference]:
        if name in self.denoisers:
            self.unchanged.add(name)
        wrong: dict[Path, list[str]] = {}
        with ExitStack() as stack:
            found, origin = (WeightReader(part.places(), stack) for part in (ours, theirs))
            for key in sorted(found.places.keys() | origin.places.keys()):
                self.seen.add(f"{name}.{key}")
                if not self._is_right(name, key, found, origin):
                    path = found.places.get(key) or ours.folder / origin.places[key].name
                    wrong.setdefault(path, []).append(key if key.isprintable() else repr(key))
        for path, keys in sorted(wrong.items()):
            relative = path.relative_to(self.model).as_posix()
            edit = " with the edit added" if self.deltas and any(f"{name}.{key}" in self.deltas for key in keys) else ""
            yield Difference(name, relative, f"holds {len(keys)} weights that are not the base's{edit}: {few(keys)}")

    def _is_right(self, name: str, key: str, found: WeightReader, origin: WeightReader) -> bool:
        if key not in found.places or key not in origin.places:
            self.unchanged.discard(name)
            return False
        ours, theirs, weight = found[key], origin[key], f"{name}.{key}"
        if not same_value(ours, theirs):
            self.unchanged.discard(name)
        if self.deltas is None:
            return ours.shape == theirs.shape if name in self.denoisers else same_bits(ours, theirs)
        wanted = edited(weight, theirs, self.deltas[weight])[0] if weight in self.deltas else theirs
        return same_bits(ours, wanted)

    def missing_weights(self) -> Iterator[Difference]:
        """Yield the weights that the edit changes and the model does not have."""
        for weight in sorted((self.deltas or {}).keys() - self.seen):
            yield Difference(weight.partition(".")[0], INDEX, f"names no model with {weight}, which the edit changes")


def _difference(name: str, problem: str) -> Difference:
    top, slash, _ = name.partition("/")
    return Difference(top if slash else "", name, problem)


def _weight_files(folder: Path) -> set[str]:
    """Return the relative paths of a model's files that hold weights which are read, and of the indexes of shards."""
    parts = [part for name, part in components(folder).items() if part.has_weights and name != UNREAD]
    return {path.relative_to(folder).as_posix() for part in parts for path in part.weight_files()}
