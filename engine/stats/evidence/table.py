"""The evidence table: one row a judged picture. Everything downstream reads it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.atomic import write_whole
from expunge.engine.stats.limits.attack_names import ATTACKS

ARMS = ("before", "after")
DENOISER = "denoiser"
"""The arm of the edited denoiser in the base's pipeline.

It is drawn where other parts of the edited model differ from the base's.
"""
EVERY_ARM = (*ARMS, DENOISER)
ROLES = ("target", "look_alike", "general")
KEY = ["concept", "prompt", "seed", "arm", "probe"]
SHOT = ["concept", "prompt", "seed"]
PAIR = [*SHOT, "probe"]
SCORE_DECIMALS = 6
NOTHING = "nothing recognisable"  # the value of `shows` for a picture without a recognisable subject

_KINDS = {pa.string(): "string", pa.int64(): "int64", pa.bool_(): "bool", pa.float64(): "float64"}
SCHEMA = pa.schema(
    [
        ("concept", pa.string()),
        ("role", pa.string()),
        ("category", pa.string()),
        ("probe", pa.string()),
        ("prompt", pa.string()),
        ("seed", pa.int64()),
        ("arm", pa.string()),
        ("seen", pa.bool_()),
        ("score", pa.float64()),
        ("picture", pa.string()),
        ("fault", pa.string()),
        ("shows", pa.string()),
    ]
)
BEFORE_SHOWS = pa.schema([field for field in SCHEMA if field.name != "shows"])  # tables up to version 0.20
DTYPES: dict[str, str] = {field.name: _KINDS[field.type] for field in SCHEMA}
COLUMNS = list(DTYPES)


@dataclass(frozen=True)
class Row:
    """One judged picture.

    For an attack, each arm's picture comes from the attack on that arm's own model, and `prompt` and `seed` are the
    common start.

    Attributes:
        role: one of ROLES.
        category: the kind of concept ("object", "style").
        probe: the family of the prompt ("name", "alias"), or one of ATTACKS, which are made on targets only.
        arm: "before" (the unedited model), "after" (the edited one) or DENOISER (the edited denoiser, all else the
            base's).
        seen: True if the judge sees the concept.
        score: the judge's probability of the concept, in [0, 1].
        picture: the sha256 of the picture.
        fault: the defect of the picture ("black picture"), "" if it has none.
        shows: the most likely subject of the picture, NOTHING where nothing is recognisable, "" where the judge cannot
            say.
    """

    concept: str
    role: str
    category: str
    probe: str
    prompt: str
    seed: int
    arm: str
    seen: bool
    score: float
    picture: str
    fault: str = ""
    shows: str = ""


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows as a table in canonical order, whatever order they came in.

    Raises pyarrow.ArrowInvalid on text in place of a number.
    """
    return _frame(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA))


def digest(frame: pd.DataFrame) -> str:
    """Return the sha256 of the sorted rows as canonical JSON, with scores rounded to six places.

    Row order and index do not matter. Where the judge never says what a picture shows, the `shows` column does not
    enter, so the digest is the same as before that column existed. Raises ValueError if the columns are not those of
    the table or a cell other than the score is missing.
    """
    if problems := _shape_problems(frame):
        raise ValueError("no digest of a malformed evidence table: " + "; ".join(problems))
    scores = (frame["score"].round(SCORE_DECIMALS) + 0.0).map(f"{{:.{SCORE_DECIMALS}f}}".format)  # + 0.0: no minus zero
    columns = COLUMNS if any(frame["shows"]) else BEFORE_SHOWS.names
    records = frame[columns].assign(score=scores).to_dict("split")["data"]
    return sha256(b"\n".join(sorted(canonical_json(record) for record in records)))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write parquet in the table's schema. The file appears whole or not at all."""
    written = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False), written)
    write_whole(path, written.getvalue().to_pybytes())


def read(path: Path) -> pd.DataFrame:
    """Read a table that `write` wrote. Raises ValueError if the file holds other columns or types."""
    stored = pq.read_table(path)
    if stored.schema.equals(BEFORE_SHOWS):
        stored = stored.append_column("shows", pa.array([""] * len(stored), pa.string()))
    if not stored.schema.equals(SCHEMA):
        raise ValueError(
            f"{path.name} is no evidence table: its columns are {stored.schema.names}; run the probes again"
        )
    return _frame(stored)


def check(frame: pd.DataFrame, planned: int) -> list[str]:
    """Return in words everything that makes the table unfit to judge on; an empty list means fit.

    `planned` is the planned number of rows: the pictures of all arms together.
    """
    if problems := _shape_problems(frame):
        return problems
    return [*_count_problems(frame, planned), *_value_problems(frame), *_key_problems(frame), *_label_problems(frame)]


def _frame(rows: pa.Table) -> pd.DataFrame:
    # Cast only text. A cast to bool would turn a missing `seen` into "not seen".
    frame = rows.to_pandas().astype({name: dtype for name, dtype in DTYPES.items() if dtype == "string"})
    return frame.sort_values([*KEY, "picture"], kind="stable", ignore_index=True)


def _shape_problems(frame: pd.DataFrame) -> list[str]:
    if sorted(map(str, frame.columns)) != sorted(COLUMNS):
        return [f"columns are {list(frame.columns)}, expected {COLUMNS}"]
    problems = [
        f"column {name} has type {frame[name].dtype}, expected {dtype}"
        for name, dtype in DTYPES.items()
        if frame[name].dtype != dtype
    ]
    missing = frame.drop(columns="score").isna().sum()
    return problems + [f"column {name} has {count} missing values" for name, count in missing.items() if count]


def _count_problems(frame: pd.DataFrame, planned: int) -> list[str]:
    problems = [] if len(frame) else ["the table is empty"]
    if len(frame) != planned:
        problems.append(f"{len(frame)} rows, planned {planned}")
    return problems


def _value_problems(frame: pd.DataFrame) -> list[str]:
    scores = frame["score"].to_numpy()
    finite = np.isfinite(scores)
    found = {
        "score is not a finite number": ~finite,
        "score lies outside [0, 1]": finite & ((scores < 0) | (scores > 1)),
        f"arm is none of {EVERY_ARM}": ~frame["arm"].isin(EVERY_ARM),
        f"role is none of {ROLES}": ~frame["role"].isin(ROLES),
        "picture is no sha256": ~frame["picture"].str.fullmatch("[0-9a-f]{64}"),
    }
    problems = [f"{text} in {int(rows.sum())} rows" for text, rows in found.items() if rows.any()]
    faults = frame.loc[frame["fault"] != "", "fault"].value_counts().sort_index()
    return problems + [f"fault {text!r} in {count} rows" for text, count in faults.items()]


def _key_problems(frame: pd.DataFrame) -> list[str]:
    """Return in words the rows that are repeated and the pairs that lack an arm.

    A picture may occur once under a prompt family, and once more under each attack that started from it.
    """
    plain = where(frame, ~is_attack(frame))
    repeated = int(frame.duplicated(KEY).sum() + plain.drop_duplicates(KEY).duplicated([*SHOT, "arm"]).sum())
    problems = [f"{repeated} rows repeat a (concept, prompt, seed, arm)"] if repeated else []
    arms = frame.assign(attack=frame["probe"].where(is_attack(frame), ""))
    pairs = arms.groupby([*SHOT, "attack"], as_index=False)["arm"].nunique()
    return problems + _named("lack an arm", pairs.query(f"arm != {len(arms_in(frame))}"))


def _label_problems(frame: pd.DataFrame) -> list[str]:
    """Return in words the concepts and pairs whose labels contradict each other.

    A concept with two roles, or a pair with two probes, would escape the count that it belongs to.
    """
    concepts = frame.groupby("concept", as_index=False)[["role", "category"]].nunique()
    pairs = where(frame, ~is_attack(frame)).groupby(SHOT, as_index=False)["probe"].nunique()
    return [
        *_named("have more than one role", concepts.query("role > 1")),
        *_named("have more than one category", concepts.query("category > 1")),
        *_named("have more than one probe", pairs.query("probe > 1")),
        *_named("are attacked and no target", where(frame, is_attack(frame) & (frame["role"] != "target"))),
    ]


def arms_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the arms that every pair of this table must have: two, or three where any row is of the third."""
    return EVERY_ARM if DENOISER in set(frame["arm"]) else ARMS


def is_attack(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows belong to an attack, bool [rows]."""
    return frame["probe"].isin(ATTACKS).to_numpy(dtype=bool)


def shown_before(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the sound pictures of plain prompts in which the judge sees the concept on the unedited model."""
    return where(frame, ~is_attack(frame) & (frame["arm"] == ARMS[0]) & frame["seen"].eq(True) & (frame["fault"] == ""))


def never_shown(frame: pd.DataFrame) -> list[str]:
    """Return the targets that the unedited model never showed although plain prompts asked for them, sorted.

    No picture shows such a target, so no attack can be aimed at it. A target that no plain prompt asked for is not
    among them.
    """
    asked = where(frame, ~is_attack(frame) & (frame["arm"] == ARMS[0]) & (frame["role"] == "target"))
    return sorted(set(asked["concept"]) - set(shown_before(frame)["concept"]))


def where(frame: pd.DataFrame, rows: Any) -> pd.DataFrame:
    """Return the rows of a frame for which `rows`, bool [rows], is True."""
    return frame.take(np.flatnonzero(rows))


def _named(text: str, rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    names = [name for name in SHOT if name in rows.columns]
    return [f"{len(rows)} of {'(' + ', '.join(names) + ')'} {text}, first {rows[names].iloc[0].to_dict()}"]
