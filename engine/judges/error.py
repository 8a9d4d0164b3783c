"""How often a judge errs, counted on pictures whose content is known, and kept beside it as data.

    python -m expunge.engine.judges.error JUDGE CATEGORY PICTURES     PICTURES holds one folder of pictures a label

writes `JUDGE_error.json` beside the judge's folder, never into it: the folder's digest is the judge's name. A judge
that knows one label needs pictures that show nothing it knows, too: their folder is named by `--other`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image

from expunge.canonical_json import canonical_json
from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.base import Judge, fault
from expunge.engine.judges.card import known, open_judge, read_json
from expunge.engine.stats.verdict import JudgeError


def measure(
    judge: Judge,
    pictures: np.ndarray,
    labels: Sequence[str],
    category: str,
    rivals: Sequence[str] | None = None,
    known: Collection[str] | None = None,
) -> JudgeError:
    """Ask the judge of each picture, uint8 [n, height, width, 3], for its label and for one rival it does not show.

    One rival a picture, by default the label next in the alphabet: asked for more, a picture would count several times
    and the counts could not be bounded as independent. Of labels that are not `known` to the judge, if it knows few, a
    picture is asked for a rival only. Raises ValueError on a faulty picture, or with one label only.
    """
    if faults := [f"picture {place} is a {why}" for place, why in enumerate(map(fault, pictures)) if why]:
        raise ValueError(f"{faults[0]}: leave it out, it shows no label")
    others = next_labels(labels, known) if rivals is None else rivals
    if same := [label for label, rival in zip(labels, others, strict=True) if label == rival]:
        raise ValueError(f"a picture of {same[0]!r} has its own label as its rival: name another")
    shown = [place for place, label in enumerate(labels) if known is None or label in known]
    asked = [place for place, rival in enumerate(others) if rival]
    hits = [sighting.seen for sighting in judge.look(pictures[shown], [labels[n] for n in shown], category)]
    alarms = [sighting.seen for sighting in judge.look(pictures[asked], [others[n] for n in asked], category)]
    return JudgeError(sum(hits), len(hits), sum(alarms), len(alarms))


def next_labels(labels: Sequence[str], known: Collection[str] | None = None) -> list[str]:
    """Return for each label the next one in the alphabet that is `known`, the first after the last.

    It is "" where that would be the label itself. Raises ValueError on fewer than two labels, and where none is known.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        raise ValueError(f"the labelled pictures show {names}: give pictures of two labels or more")
    own = [name for name in names if known is None or name in known]
    if not own:
        raise ValueError(f"the judge knows none of {names}; it knows {sorted(known or ())}")
    after = {name: next((other for other in own if other > name), own[0]) for name in names}
    return ["" if after[label] == label else after[label] for label in labels]


def place_of(folder: Path) -> Path:
    """Return where the error of the judge in `folder` is kept."""
    return folder.with_name(f"{folder.name}_error.json")


def write(folder: Path, errors: Mapping[str, JudgeError]) -> Path:
    """Write the errors by category, under the judge's digest.

    The error of a target's reading is under "target/" and its category.
    """
    content = {
        "judge": folder_digest(folder),
        "errors": {category: asdict(error) for category, error in errors.items()},
    }
    path = place_of(folder)
    path.write_bytes(canonical_json(content) + b"\n")
    return path


def read(folder: Path, digest: str = "") -> dict[str, JudgeError]:
    """Return the judge's errors by category, empty if they were never measured.

    Raises DigestMismatch if they were measured on another judge. `digest` is the folder's, where it is known.
    """
    path = place_of(folder)
    if not path.exists():
        return {}
    content = read_json(path)
    if content["judge"] != (digest := digest or folder_digest(folder)):
        raise DigestMismatch(f"{path.name}: error of the judge", content["judge"], digest, "measure this judge's error")
    for_all = {"pictures": content.get("pictures", "")}  # up to 0.20 they were named once for all errors
    return {category: JudgeError(**{**for_all, **error}) for category, error in content["errors"].items()}


def labelled(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Pictures of one size, uint8 [n, height, width, 3], and their labels: the names of the folders they lie in."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    if len(shapes := {picture.shape for picture in pictures}) != 1:
        raise ValueError(f"{folder} holds pictures of {len(shapes)} sizes; give one or more, all of one size")
    return np.stack(pictures), [path.parent.name for path in paths]


def check_labels(labels: Sequence[str], known: Collection[str] | None, other: Collection[str]) -> None:
    """Raise ValueError on a folder with a misspelt name: what the judge does not know must be named in `other`."""
    if missing := sorted({*other} - {*labels}):
        raise ValueError(f"--other {missing[0]!r}: there is no such folder of pictures, only {sorted(set(labels))}")
    if known is None:
        return
    if seen := sorted({*other} & {*known}):
        raise ValueError(f"--other {seen[0]!r}: that is what the judge sees, so its pictures are no other ones")
    if strange := sorted({*labels} - {*known} - {*other}):
        raise ValueError(
            f"the judge has no label {strange[0]!r}: rename that folder to one of {sorted(known)}, "
            f"or say by --other {strange[0]!r} that its pictures show none of these"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path)
    parser.add_argument("category")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--other", nargs="+", default=[], help="folders of what shows nothing that the judge knows")
    args = parser.parse_args()
    try:
        pictures, labels = labelled(args.pictures)
        names = known(args.judge).get(args.category)
        check_labels(labels, names, args.other)
        error = measure(open_judge(args.judge), pictures, labels, args.category, known=names)
        found = read(args.judge) if place_of(args.judge).exists() else {}
    except ValueError as problem:
        parser.error(str(problem))
    named = replace(error, pictures=f"{len(labels)} pictures in {args.pictures.name}")
    path = write(args.judge, {**found, args.category: named})
    print(f"{path}: {error}")


if __name__ == "__main__":
    main()
