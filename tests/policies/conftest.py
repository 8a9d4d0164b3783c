"""One good policy, edits of it, and what the reader says of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import expunge.policies
from expunge.policies import PolicyError, PolicyErrors

GOOD = """\
schema_version: "1"
request_id: case-1
kind: copyright
received_at: "2026-01-12T09:30:00Z"
title: A title
base:
  uri: "builtin:emoji"
  sha256: "SHA"
concepts:
  - id: panda
    name: panda
    aliases: [bamboo eater]
    category: object
  - id: taxi
    name: taxi
    category: object
retain:
  - {id: bear, name: bear, kind: look_alike, category: object}
acceptance:
  max_target_rate: 0.10
  confidence: 0.95
  seeds: 8
limits:
  max_concepts: 2
  max_weight_delta: 0.5
editor:
  name: scapre
  settings: {strength: 1.5}
seed: 0
""".replace("SHA", "ab" * 32)


Refusals = Callable[[str | bytes], list[PolicyError]]
Edited = Callable[[str, str], str]


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def edited() -> Edited:
    """(old, new) to the good policy with `old`, which it holds exactly once, replaced."""

    def edit(old: str, new: str) -> str:
        assert GOOD.count(old) == 1, f"the edit must hit once: {old!r}"
        return GOOD.replace(old, new)

    return edit


@pytest.fixture
def problems() -> Refusals:
    """What is wrong with a text, an empty list if nothing is."""

    def parse(text: str | bytes) -> list[PolicyError]:
        try:
            expunge.policies.parse(text if isinstance(text, bytes) else text.encode(), "case.yaml")
        except PolicyErrors as errors:
            return list(errors.errors)
        return []

    return parse


@pytest.fixture
def refusals(problems: Refusals) -> Refusals:
    """What is wrong with a text; fails the test if nothing is."""

    def parse(text: str | bytes) -> list[PolicyError]:
        errors = problems(text)
        assert errors, "nothing was refused"
        return errors

    return parse
