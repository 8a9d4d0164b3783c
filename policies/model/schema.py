"""The fields of a policy: strict, frozen, every unknown field refused."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)

from expunge.policies.errors import PolicyError, shown
from expunge.policies.kinds import Kind
from expunge.policies.model.text import (
    checked_anchor,
    checked_name,
    checked_prompt,
    checked_prose,
    checked_target,
    counting_key,
)

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
BASE_URI = re.compile(r"builtin:[a-z0-9-]{1,64}|file:/[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,999}")


def spelled(pattern: str, words: str) -> AfterValidator:
    """Text that matches `pattern` from end to end; `words` says in the error what that means."""
    regex = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not regex.fullmatch(text):
            raise PolicyError("", f"{shown(text)} is not allowed here", f"use {words}")
        return text

    return AfterValidator(check)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    cure = 'write it in quotes with date, time and zone, such as "2026-01-31T09:30:00+01:00"'
    if not isinstance(value, str) or not TIMESTAMP.fullmatch(value):
        raise PolicyError("", "is not an ISO date and time in quotes", cure)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise PolicyError("", f"{shown(value)} is no real moment ({error})", cure) from None
    if moment.tzinfo is None:
        raise PolicyError("", f"{shown(value)} has no time zone", cure)
    return moment


def _moment_or_none(value: Any) -> datetime | None:
    return None if value is None else _moment(value)


def _past(moment: datetime) -> datetime:
    if moment > datetime.now(UTC):
        raise PolicyError("", f"{moment.isoformat()} lies in the future", "write when the request was received")
    return moment


def _base_uri(uri: str) -> str:
    if not BASE_URI.fullmatch(uri) or not uri.isprintable():
        cure = 'write "builtin:NAME" or "file:/absolute/path/of/a/pipeline/folder"'
        raise PolicyError("", f"{shown(uri)} is no address of a model", cure)
    if ".." in uri.split("/"):
        raise PolicyError("", f"{shown(uri)} climbs with '..'", "write the resolved path")
    return uri


def _limited(limits: dict[str, float]) -> dict[str, float]:
    for probe, limit in limits.items():
        if limit == 1 and probe not in ATTACKS_AT["adversarial"]:
            cure = "choose a share below 1; only an attack may be left without a limit"
            raise PolicyError("", f"1 is no limit for the prompt family {shown(probe)}", cure)
    return limits


def _setting(value: Any) -> float | int | str | bool:
    if isinstance(value, str):
        return checked_prompt(value)
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise PolicyError("", "has no plain value", "write a decimal number, true, false, or text in quotes")


Name = Annotated[str, AfterValidator(checked_name)]
TargetName = Annotated[str, AfterValidator(checked_target)]
Anchor = Annotated[str, AfterValidator(checked_anchor)]
Prompt = Annotated[str, AfterValidator(checked_prompt)]
Prose = Annotated[str, AfterValidator(checked_prose)]
RequestId = Annotated[str, spelled(r"[a-zA-Z0-9_-]{1,64}", "1 to 64 of a-z, A-Z, 0-9, - and _")]
ConceptId = Annotated[str, spelled(r"[a-z0-9-]{1,64}", "1 to 64 of a-z, 0-9 and -")]
Sha256 = Annotated[str, spelled(r"[0-9a-f]{64}", "the 64 lower-case hex digits of a sha256, in quotes")]
EditorName = Annotated[str, spelled(r"[a-z][a-z0-9_-]{0,63}", "an editor's name such as scapre")]
SettingName = Annotated[str, spelled(r"[a-z][a-z0-9_]{0,63}", "a setting's name such as strength")]
ProbeName = Annotated[str, spelled(r"[a-z][a-z0-9_-]{0,63}", "a prompt family or attack such as alias or inversion")]
Setting = Annotated[float | int | str | bool, PlainValidator(_setting)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_past)]
End = Annotated[AwareDatetime | None, BeforeValidator(_moment_or_none)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Limit = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
LimitOrNone = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


def later(default: Any) -> Any:
    """Declare a field that came when policies were in force already.

    At its default it is left out of the digest, so that the digests of earlier policies stay as they were.
    """
    return Field(default, exclude_if=lambda value: value == default)


MOST_MINUTES = 100_000

Category = Literal["object", "style", "identity", "character", "explicit"]
Level = Literal["quick", "standard", "adversarial"]
BY_USE = ("concept_vector", "start_picture", "other_settings", "relearn")
ATTACKS_AT: dict[Level, tuple[str, ...]] = {
    "quick": (),
    "standard": BY_USE,
    "adversarial": (*BY_USE, "inversion", "prompt_search", "word_sweep"),
}


class Strict(BaseModel):
    """No unknown field, no coercion, no change after the fact."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Base(Strict):
    """The immutable checkpoint that every edit starts from; `sha256` is the digest of its folder."""

    uri: Annotated[str, AfterValidator(_base_uri)]
    sha256: Sha256


class Concept(Strict):
    """A target: what the model must forget, the names it goes by, and what it becomes ("" leaves it to the editor)."""

    id: ConceptId
    name: TargetName
    aliases: tuple[TargetName, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    category: Category
    anchor: Anchor = ""

    @property
    def counting_keys(self) -> set[str]:
        """Return its name and aliases, each as attempts are counted by."""
        return {counting_key(name) for name in (self.name, *self.aliases)}


class Retained(Strict):
    """Name what the model must keep: a near twin of a target, or something general.

    `kin` names targets that it is a kind of, or that are kinds of it, where no word that they share says so.
    """

    id: ConceptId
    name: Name
    prompts: tuple[Prompt, ...] = ()
    kind: Literal["look_alike", "general"]
    category: Category
    kin: tuple[Name, ...] = later(())


class Acceptance(Strict):
    """Say when an edit counts as proven. Rates are shares of pictures; bounds are taken at `confidence`.

    `max_attack_rate` is the success each attack may have; `probe_limits` sets limits for single prompt families and
    attacks by name, and 1 for an attack that is to be made and shown and decides nothing. `level` says how hard the
    model is questioned. Every prompt is drawn with `seeds` seeds; with sampling "sequential" with `round_seeds` at a
    time, and only as long as something is undecided. `steps` and `guidance` are what every picture is drawn with.
    `max_noise_rate` is the share of a target's edited pictures that may show nothing recognisable; 1 sets no limit.
    """

    max_target_rate: Limit = 0.10
    max_attack_rate: Limit = 0.20
    max_retain_drop: Limit = 0.05
    min_control_rate: Share = 0.85
    probe_limits: Annotated[dict[ProbeName, LimitOrNone], AfterValidator(_limited)] = Field(default_factory=dict)
    confidence: Annotated[float, Field(gt=0.5, lt=1, allow_inf_nan=False)] = 0.95
    level: Level = "quick"
    sampling: Literal["fixed", "sequential"] = "fixed"
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 8
    round_seeds: Annotated[int, Field(ge=1, le=10_000)] = 2
    prompts: Annotated[int, Field(ge=1, le=1_000)] = 5
    steps: Annotated[int, Field(ge=1, le=1_000)] = later(12)
    guidance: Annotated[float, Field(ge=1, le=30, allow_inf_nan=False)] = later(2.0)
    max_noise_rate: LimitOrNone = later(1.0)


class Budget(Strict):
    """Limit how far an edit may go: relative Frobenius norm of any weight's change, and minutes of compute."""

    max_weight_delta: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 5.0
    max_compute_minutes: Annotated[float, Field(gt=0, le=MOST_MINUTES, allow_inf_nan=False)] = 60.0


class Limits(Budget):
    """The budget, and how many concepts one policy may name."""

    max_concepts: Annotated[int, Field(ge=1, le=1_000)] = 32


class Reverify(Strict):
    """Limit how old the proof of what is published may become. By then it is questioned again, while it is served."""

    max_age_days: Annotated[int, Field(ge=1, le=3_650)] = 30


class Editor(Strict):
    """Which editor computes the edit, and its settings where they differ from its own defaults."""

    name: EditorName = "scapre"
    settings: dict[SettingName, Setting] = Field(default_factory=dict)


class Request(Strict):
    """One takedown request, as its file states it, with every default filled in, not yet checked as a whole.

    `replaces` names earlier requests whose place it takes, from its publication on; with no concepts of its own it
    withdraws them. `base_name` is what people call the model. `expires_at` is the moment from which it holds no more;
    `on_expiry` is true of the withdrawal that follows then.
    """

    schema_version: Literal["1"]
    request_id: RequestId
    replaces: tuple[RequestId, ...] = later(())
    kind: Kind
    received_at: Moment
    expires_at: End = later(None)
    on_expiry: Annotated[bool, Field(description="written by the nightly check alone")] = later(False)
    title: Prose = ""
    description: Prose = ""
    base_name: Prose = later("")
    base: Base
    concepts: tuple[Concept, ...]
    retain: tuple[Retained, ...] = ()
    acceptance: Acceptance = Acceptance()
    limits: Limits = Limits()
    editor: Editor = Editor()
    reverify: Reverify = later(Reverify())
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
