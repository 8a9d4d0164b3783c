import math
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.stats.evidence.table import ARMS, COLUMNS, DTYPES, Row, check, digest, read, table, where, write
from tests.engine.stats.rows import picture


def rows(seeds: int = 3) -> list[Row]:
    return [
        Row(
            concept,
            role,
            "object",
            probe,
            f"a {concept}, {probe}",
            seed,
            arm,
            arm == "before",
            0.25,
            picture(seed, arm),
        )
        for concept, role in [("panda", "target"), ("fox", "look_alike")]
        for probe in ("name", "alias")
        for seed in range(seeds)
        for arm in ARMS
    ]


def with_first(**changes: object) -> pd.DataFrame:
    first, *rest = rows()
    return table([replace(first, **changes), *rest])


def problems_of(frame: pd.DataFrame) -> str:
    return "; ".join(check(frame, len(rows())))


def test_a_sound_table_has_no_problem_and_its_stated_types():
    frame = table(rows())
    assert check(frame, len(rows())) == []
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES


def test_order_of_rows_changes_neither_table_nor_digest():
    frame, backwards = table(rows()), table(reversed(rows()))
    pd.testing.assert_frame_equal(frame, backwards)
    assert digest(frame) == digest(frame.sample(frac=1, random_state=0))


def test_digest_sees_every_column_but_not_the_seventh_decimal():
    whole = digest(table(rows()))
    assert digest(with_first(score=0.25 + 1e-9)) == whole
    other = {"seed": 9, "seen": False, "score": 0.26, "arm": "during"}
    for name in COLUMNS:
        assert digest(with_first(**{name: other.get(name, "other")})) != whole, name


def test_digest_of_a_table_without_a_column_is_refused():
    with pytest.raises(ValueError, match="malformed evidence table: columns are"):
        digest(table(rows()).drop(columns="seen"))


def test_parquet_keeps_the_table(tmp_path):
    write(table(rows()), tmp_path / "evidence.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "evidence.parquet"), table(rows()))
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.parquet"]


def test_parquet_of_another_table_is_refused(tmp_path):
    pq.write_table(pa.table({"concept": ["panda"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet is no evidence table"):
        read(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"score": math.nan}, "score is not a finite number in 1 rows"),
        ({"score": math.inf}, "score is not a finite number"),
        ({"score": -math.inf}, "score is not a finite number"),
        ({"score": None}, "score is not a finite number"),
        ({"score": 1.01}, "score lies outside"),
        ({"score": -0.01}, "score lies outside"),
        ({"seen": None}, "column seen has type object"),
        ({"concept": None}, "column concept has 1 missing"),
        ({"fault": "black picture"}, "fault 'black picture' in 1 rows"),
        ({"fault": None}, "column fault has 1 missing"),
        ({"arm": "during"}, "arm is none of"),
        ({"arm": "after"}, "repeat a (concept, prompt, seed, arm)"),
        ({"role": "friend"}, "role is none of"),
        ({"role": "general"}, "have more than one role"),
        ({"category": "style"}, "have more than one category"),
        ({"probe": "template"}, "have more than one probe"),
        ({"seed": 77}, "lack an arm"),
        ({"picture": "0x12"}, "picture is no sha256"),
        ({"picture": "ab" * 33}, "picture is no sha256"),
    ],
)
def test_one_bad_cell_is_a_problem(changes, expected):
    assert expected in problems_of(with_first(**changes))


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_score_at_either_end_is_sound(score):
    assert problems_of(with_first(score=score)) == ""


def attack(*names: str, role: str = "target") -> list[Row]:
    return [replace(row, probe=name) for name in names for row in rows() if (row.probe, row.role) == ("name", role)]


def test_attacks_may_start_from_a_prompt_and_seed_that_were_asked_plainly_too():
    frame = table([*rows(), *attack("relearn", "inversion")])
    assert check(frame, len(rows()) + 12) == []
    assert "repeat a" in "; ".join(
        check(pd.concat([frame, where(frame, frame["probe"] == "relearn")]), len(rows()) + 18)
    )


def test_half_an_attack_and_an_attack_on_what_must_stay_are_problems():
    half = table([*rows(), *(row for row in attack("relearn") if row.arm == "after")])
    assert "lack an arm" in problems_of(half)
    assert "are attacked and no target" in problems_of(table([*rows(), *attack("relearn", role="look_alike")]))


def test_a_picture_counted_under_two_families_is_a_problem():
    assert "have more than one probe" in problems_of(table([*rows(), *attack("variant")]))
    assert "6 rows repeat a" in problems_of(table([*rows(), *attack("variant")]))


def test_missing_additional_and_no_rows_are_problems():
    frame = table(rows())
    assert "23 rows, planned 24" in problems_of(frame.drop(index=0))
    assert "25 rows, planned 24" in problems_of(pd.concat([frame, frame.head(1)]))
    assert check(table([]), 0) == ["the table is empty"]


def test_wrong_columns_and_types_are_problems():
    frame = table(rows())
    assert "columns are" in problems_of(frame.drop(columns="score"))
    assert "columns are" in problems_of(frame.assign(note=""))
    assert "column seed has type float64" in problems_of(frame.assign(seed=frame["seed"].astype("float64")))


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": [1, 0.1, None, True], "a": "é"}) == '{"a":"é","b":[1,0.1,null,true]}'.encode()
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1: "a"}, "\ud800", {"\ud800": 1}, object(), b"x", {1, 2}])
def test_canonical_json_refuses_and_names_the_place(bad):
    with pytest.raises((ValueError, TypeError), match=r"\$\.deep\[0\]"):
        canonical_json({"deep": [bad]})
