"""The work order of one submission, and the small frozen references that travel between tasks."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from expunge.canonical_json import canonical_json
from expunge.engine import emoji
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.files.reading.strict_json import SMALL, read_json
from expunge.engine.stats.verdict import Verdict
from expunge.policies import DesiredState
from expunge.tasks.core.base_model import here
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import STATE, VERDICT, readable, work_folder

ORDER = "order.json"


@dataclass(frozen=True)
class Ref:
    """A file by what it holds; whoever reads it gets those bytes or an IntegrityError."""

    uri: str
    sha256: str
    bytes: int

    @property
    def path(self) -> Path:
        path = Path(self.uri.removeprefix("file://"))
        if not path.is_file() or file_digest(path) != self.sha256:
            raise IntegrityError(f"{path} is no longer what an earlier step made (sha256 {self.sha256}): submit again")
        return path

    @classmethod
    def of(cls, path: Path) -> Ref:
        return cls(f"file://{path}", file_digest(path), path.stat().st_size)


@dataclass(frozen=True)
class Order:
    """The work that one policy file comes to: all that identifies the work, by digest; `key` stands for the whole.

    `folder` holds everything made for this key, so that the same work is found and never done again. `follows` is the
    bundle that was published last on the line when the policy was folded with those in force, empty before the first:
    what is published must follow it, or it would undo what came between. `floor` is the digest of the floor that the
    policies were held to, `attempt` the number of the attempt on its targets, 0 until it is counted.
    """

    request_id: str
    line: str
    key: str
    home: Path
    policy: str
    state: str
    base: str
    base_folder: Path
    judge: str
    judge_folder: Path
    follows: str = ""
    floor: str = ""
    attempt: int = 0

    @property
    def folder(self) -> Path:
        return work_folder(self.home, self.key)

    @cached_property
    def desired(self) -> DesiredState:
        """Return the order's desired state, read and checked once; IntegrityError if the file changed.

        Limits and acceptance come from it.
        """
        path = self.folder / STATE
        with readable(path):
            state = DesiredState.model_validate_json(path.read_bytes())
        if state.digest != self.state:
            raise IntegrityError(f"{path} does not hold the desired state {self.state}: submit the policy again")
        return state

    def holding(self, state: DesiredState) -> Order:
        """Return the order with its desired state at hand, which is not read again then."""
        made = replace(self, state=state.digest)
        vars(made)["desired"] = state
        return made

    def counted(self, attempt: int) -> Order:
        """Return the order as this attempt."""
        return replace(self, attempt=attempt).holding(self.desired)

    def save(self) -> None:
        """Write `order.json` into the folder, which is made if need be."""
        plain = {name: str(value) for name, value in asdict(self).items()}
        write_whole(self.folder / ORDER, canonical_json(plain))

    @staticmethod
    def is_kept(home: Path, key: str) -> bool:
        """Return whether the home has the order of this key; a home that was restored from S3's record has none."""
        return (work_folder(home, key) / ORDER).exists()

    @classmethod
    def load(cls, home: Path, key: str) -> Order:
        """Return the order that was saved under this key; NothingOnRecord if there is none.

        A folder that is no more where it was, as after a new installation, is looked for where another order would
        find it; the base's digest is held to the order's by whoever opens it.
        """
        file = work_folder(home, key) / ORDER
        if not cls.is_kept(home, key):
            raise NothingOnRecord(f"{file} is missing, with all of this work perhaps: submit the policy again")
        with readable(file):
            plain = read_json(file, SMALL)
            base, judge = Path(plain["base_folder"]), Path(plain["judge_folder"])
            folders = {
                "base_folder": here(_installed(base, emoji.MODEL)),
                "judge_folder": _judge_here(judge, plain["judge"]),
            }
            return cls(**{**plain, **folders, "home": home, "attempt": int(plain.get("attempt", 0))})


def _judge_here(judge: Path, digest: str) -> Path:
    """Return the judge of this digest, wherever it is by now; where it was, if nowhere."""
    own = [_installed(judge, emoji.JUDGE), emoji.CLIP_JUDGE]  # up to version 0.20 the one judge was this
    places = [judge, *own, Path(os.environ.get("EXPUNGE_JUDGE") or judge)]
    return next((place for place in places if place.is_dir() and folder_digest(place) == digest), judge)


def _installed(folder: Path, own: Path) -> Path:
    """Return the built-in folder of this installation, where that of another is no more."""
    return own if not folder.is_dir() and folder.parts[-3:] == own.parts[-3:] else folder


def verdict_of(order: Order) -> Verdict:
    """Return the verdict that an order came to; IntegrityError if its file cannot be read."""
    file = order.folder / VERDICT
    with readable(file):
        return Verdict.load(file)


@dataclass(frozen=True)
class Weights:
    """A model to be questioned: its folder in diffusers layout and the digest of that folder."""

    folder: Path
    digest: str
