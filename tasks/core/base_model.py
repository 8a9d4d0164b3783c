"""The base that a policy names: find it, compare its digest, and refuse files that S3 would not take.

Nothing here loads a library for models, so that what is refused is refused within a second.
"""

from __future__ import annotations

import os
from pathlib import Path

from expunge.engine import emoji
from expunge.engine.files.digests import files, folder_digest
from expunge.engine.files.sound_folder import check_sound
from expunge.policies import Policy, PolicyError
from expunge.policies.errors import shown
from expunge.tasks.core.errors import IntegrityError

LARGEST_OBJECT = 5 * 2**30  # what S3 takes in one request, which alone it can make conditional and check by a sha256


STAMP = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
_DIGESTS: dict[tuple[object, ...], str] = {}
BUILT_IN = {"builtin:emoji": (emoji.MODEL, emoji.JUDGE)}


def too_large(size: int) -> str:
    """Say how a file of so many bytes is more than S3 takes, before hours of proof; "" if it is not."""
    if size <= LARGEST_OBJECT:
        return ""
    return f"has {size / 2**30:.1f} GiB, and S3 takes {LARGEST_OBJECT // 2**30} a file"


def here(base: Path) -> Path:
    """Return where a model's folder is on this machine: there, or by the same name in `$EXPUNGE_BASES`."""
    elsewhere = os.environ.get("EXPUNGE_BASES")
    return Path(elsewhere) / base.name if elsewhere and not base.is_dir() else base


def built_in_models() -> dict[str, str]:
    """Return the digest of each built-in model, by its address."""
    return {uri: _digest(base) for uri, (base, _) in BUILT_IN.items()}


def digest_of(uri: str) -> str:
    """Return the digest of the model at an address, built in or a folder on this machine; PolicyError if none is."""
    known, folder = built_in_models(), here(Path(uri.removeprefix("file:")))
    if uri in known:
        return known[uri]
    if not uri.startswith("file:/") or not (folder / "model_index.json").is_file():
        cure = f'write {", ".join(known)}, or "file:/absolute/path" of a folder that holds model_index.json'
        raise PolicyError("model", f"{shown(uri)} is no model here", cure)
    return _digest(folder)


def named_folders(policy: Policy) -> tuple[Path, Path]:
    """Return where the base of a policy and its judge would be on this machine; nothing is looked at."""
    uri, judge = policy.base.uri, Path(os.environ.get("EXPUNGE_JUDGE") or "judge")
    return BUILT_IN.get(uri) or (Path(uri.removeprefix("file:")), judge)


def locate(policy: Policy) -> tuple[Path, Path]:
    """Return the folders of the base model and of its judge; the base's digest is checked before anybody loads it."""
    uri = policy.base.uri
    if uri.startswith("builtin:"):
        if uri not in BUILT_IN:
            raise PolicyError("base.uri", f"there is no built-in model {uri}", f"use one of {', '.join(BUILT_IN)}")
        base, judge = BUILT_IN[uri]
    else:
        base, judge = here(Path(uri.removeprefix("file:"))), Path(os.environ.get("EXPUNGE_JUDGE", ""))
        if not judge.name:
            raise PolicyError("base.uri", "no judge is known for this model", "set EXPUNGE_JUDGE to a judge's folder")
        if not judge.is_dir():
            raise PolicyError("base.uri", f"EXPUNGE_JUDGE is {judge}, which is no folder", "set it to a judge's folder")
    if not base.is_dir():
        cure = "give the one that holds model_index.json, or by EXPUNGE_BASES the folder in which it lies here"
        raise PolicyError("base.uri", f"{shown(str(base))} is no folder", cure)
    if (found := _digest(base)) != policy.base.sha256:
        raise IntegrityError(
            f"base.sha256: {uri} has the digest {found}, the policy names {policy.base.sha256}: fetch the model that "
            "is meant, or write the digest of this one"
        )
    return base, judge


def _digest(base: Path) -> str:
    """Return the digest of a base whose files are sound. A file that nobody touched since is read once in a process.

    A file's stamp holds the time of its last change, which no user can set back. Whoever opens the base digests it
    again, and so does its comparison with the candidate.
    """
    stamp = tuple((path, *(getattr(path.stat(), name) for name in STAMP)) for path in files(base))
    if stamp not in _DIGESTS:
        check_sound(base)
        _DIGESTS[stamp] = folder_digest(base)
    return _DIGESTS[stamp]


def refuse_too_large(base: Path) -> None:
    """Refuse a model with a file that S3 would not take: PolicyError."""
    for path in files(base):
        if problem := too_large(path.stat().st_size):
            what = f"{shown(path.name)} {problem}"
            raise PolicyError("base.uri", what, "save the model in shards: save_pretrained(..., max_shard_size='4GB')")
