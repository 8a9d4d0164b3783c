"""Files that are refused whole: wrong bytes, bombs, damage; at little work, and never with a traceback."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
import yaml

import expunge.policies
from expunge.policies import PolicyErrors
from tests.policies.conftest import Refusals

SCRAPS = "'\":-[{}]&*!|>%@`#~9 \n\t\r\0é\ud800"

WHOLE_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "comment only": (b"# nothing\n", "is empty"),
    "dashes only": (b"---\n", "is not a mapping"),
    "text": (b"hello\n", "is not a mapping"),
    "list": (b"- a\n", "is not a mapping"),
    "utf-8 mark": (lambda good: b"\xef\xbb\xbf" + good.encode(), "byte order mark"),
    "utf-16": (lambda good: good.encode("utf-16"), "byte order mark"),
    "utf-16 without mark": (lambda good: good.encode("utf-16-le"), "UTF-16?"),
    "utf-32": (lambda good: good.encode("utf-32"), "byte order mark"),
    "latin-1": (lambda good: good.replace("A title", "Caf\xe9").encode("latin-1"), "is not UTF-8 (byte 0xe9)"),
    "surrogate": (lambda good: good.replace("A title", "\ud800").encode("utf-8", "surrogatepass"), "is not UTF-8"),
    "nul": (lambda good: good.replace("A title", "A\0").encode(), "U+0000"),
    "escape": (lambda good: good.replace("A title", "A\x1b[31m").encode(), "U+001B"),
    "line separator": (lambda good: good.replace("A title", "A\u2028").encode(), "U+2028"),
    "directive": (lambda good: b"%YAML 1.1\n---\n" + good.encode(), "directive"),
    "html": (b"<!DOCTYPE html>\n<html></html>\n", "is not a mapping"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "is not a mapping"),
}


@pytest.mark.parametrize(("data", "fragment"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_whole_files_are_refused(
    data: bytes | Callable[[str], bytes], fragment: str, good: str, refusals: Refusals
) -> None:
    (error,) = refusals(data(good) if callable(data) else data)
    assert error.field == ""
    assert fragment in str(error)


def test_byte_errors_name_their_line(good: str, refusals: Refusals) -> None:
    assert refusals(good.replace("A title", "\xe9").encode("latin-1"))[0].line == 5
    assert refusals(good.replace("A title", "\0").encode())[0].line == 5


BOMBS = {
    "alias bomb": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\n",
        "anchor",
    ),
    "open brackets": (b"[" * 900_000, "nest"),
    "open braces": (b"{a: " * 200_000, "nest"),
    "few brackets": (b"a: " + b"[" * 30 + b"]" * 30, "deeper than 20 levels"),
    "dashes": (b"- " * 450_000, "deeper than 20 levels"),
    "questions": (b"? " * 450_000, "deeper than 20 levels"),
    "indented": b"".join(b" " * i + b"a:\n" for i in range(1_300)),
    "over 1 MB": (b"#" * 1_000_001, "over 1000000 bytes"),
    "many items": (b"a: [" + b"x," * 490_000 + b"]", "more than 20000 values"),
    "many keys": b"".join(b"k%d: v\n" % i for i in range(9_900)),
    "same key": b"k: v\n" * 9_900,
    "one long text": b"title: " + b"a" * 990_000,
}


def calls(action: Callable[[], object]) -> int:
    """How many functions the action calls: its work, and the same on any machine."""
    count = 0

    def told(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(told)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


@cache
def calls_for_a_good_file(good: str) -> int:
    """What a policy that is in order costs, with 5,000 names."""
    concepts = [
        f"  - {{id: c{i}, name: c{i}, category: object, aliases: [{', '.join(f'c{i} x{j}' for j in range(99))}]}}\n"
        for i in range(50)
    ]
    text = good.replace("concepts:\n", f"concepts:\n{''.join(concepts)}").replace("max_concepts: 2", "max_concepts: 52")
    return calls(lambda: expunge.policies.parse(text.encode(), "large.yaml"))


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused_at_less_work_than_a_good_file_may_cost(
    bomb: bytes | tuple[bytes, str], good: str, refusals: Refusals
) -> None:
    data, fragment = bomb if isinstance(bomb, tuple) else (bomb, "")
    assert calls(lambda: refusals(data)) < calls_for_a_good_file(good)
    assert any(fragment in str(error) for error in refusals(data))


def test_equal_names_are_refused_at_work_that_grows_as_they_do(good: str, refusals: Refusals) -> None:
    few, many = (good.replace("[bamboo eater]", "[" + "a, " * count + "a]") for count in (4_999, 9_999))
    assert calls(lambda: refusals(many)) < 2.1 * calls(lambda: refusals(few))
    assert any("repeats concepts[0].aliases[0]" in str(error) for error in refusals(many))


def test_a_flood_of_problems_is_cut_short(refusals: Refusals, problems: Refusals) -> None:
    errors = refusals("".join(f"k{i}: v\n" for i in range(9_000)))
    assert len(errors) == 101
    assert "has 8906 more problems" in errors[-1].message


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, fragment in (
        (tmp_path / "absent.yaml", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(PolicyErrors, match=fragment) as caught:
            expunge.policies.read(path)
        assert str(caught.value).isprintable()


def test_a_file_that_is_too_long_is_not_read_as_one_that_ends_there(good: str, tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(good + "#" * (999_999 - len(good)) + "\nseed: 1\n")
    with pytest.raises(PolicyErrors, match="over 1000000 bytes"):
        expunge.policies.read(path)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files_give_a_policy_or_its_errors_and_nothing_else(seed: int, good: str, problems: Refusals) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(60):
        text = good
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(SCRAPS) + text[start + rng.randint(0, 3) :]
        errors = problems(text.encode("utf-8", "surrogatepass"))
        refused += bool(errors)
        assert all(error.cure and str(error).isprintable() for error in errors)
    assert refused > 20


def test_json_as_programs_write_it_is_a_policy(good: str) -> None:
    """A character beyond the first 65,536 is escaped in two halves, which YAML does not know."""
    data = yaml.safe_load(good)
    data["title"], data["description"] = "𠮷野家 and C:\\🍜", "a backslash: \\ud842\\udfb7"
    read = expunge.policies.parse(json.dumps(data).encode(), "case.json")
    assert (read.title, read.description) == (data["title"], data["description"])
    assert read == expunge.policies.parse(json.dumps(data, ensure_ascii=False).encode(), "case.json")
