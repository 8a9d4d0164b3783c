"""Attacks on the search for a person's name: spelled, joined, shortened or turned around; and what names nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from expunge.tasks.views.letters.names import id_names_target, names_target


def policy(name: str, *aliases: str, own: str = "target-1") -> Any:
    return SimpleNamespace(concepts=[SimpleNamespace(id=own, name=name, aliases=aliases)])


@pytest.mark.parametrize(
    "said",
    [
        "Jane Doe", "JANE  DOE", "jane\u00a0doe", "Ja\u00adne Doe", "Jane\nDoe", "J a n e Doe",
        "Ms Doe", "Ms. Doe", "about Mrs. Doe's pictures", "Dr Doe", "Frau Doe", "MsDoe", "Miss Jane", "Ms J. M. Doe",
        "JaneDoe", "janedoe", "janedoe2024", "JaneDoePictures", "jane_doe", "jane-doe.png", "@JaneDoe",
        "Doe, Jane", "DoeJane", "J. Doe", "JDoe", "Jane D.", "Jane Mary Doe", "Jánè Dôe", "J\u0430ne D\u043ee",
        "\uff2a\uff41\uff4e\uff45 \uff24\uff4f\uff45",
    ],
)  # fmt: skip
def test_attack_the_name_is_spelled_in_another_way(said: str) -> None:
    assert names_target(f"We removed {said} from it.", policy("Jane Doe"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("José Müller", "Herr Mueller"), ("Jose Mueller", "JoséMüller"), ("Søren Łukasz", "Soren Lukasz"),
        ("Anna Groß", "Frau Gross"), ("Jane Mary Doe", "Jane Doe"), ("Ana van der Berg", "Ms van der Berg"),
        ("王小明", "王小明的照片"), ("umbrella", "UMBRELLA-pictures"), ("Cher", "CherPictures"), ("Cher", "Cher"),
    ],
)  # fmt: skip
def test_attack_the_name_has_accents_parts_or_no_spaces(name: str, said: str) -> None:
    assert names_target(said, policy(name))
    assert names_target(said, policy("x y z", name)), "as an alias"


@pytest.mark.parametrize(
    "said",
    ["", "target-1", "We are sorry.", "all items", "What we do, Jan", "doe", "cherry", "d0e" * 20, "Ms Roe", "a jd"],
)
def test_a_text_that_names_nobody_is_not_refused(said: str) -> None:
    assert not names_target(said, policy("Jane Doe", "Al Li", "Cher"))


def test_a_digest_is_no_name() -> None:
    assert not names_target("0123ada4567bea89" * 4, policy("Ada", "Ada Bea"))


@pytest.mark.parametrize("own", ["jane", "doe-1", "jane-doe", "jdoe", "janedoe1", "DOE", "case_of_jane"])
def test_attack_an_id_has_a_part_of_the_name(own: str) -> None:
    assert id_names_target(own, policy("Jane Doe"))


@pytest.mark.parametrize("own", ["target-1", "notice-20260112-1f0c6a9b22d4", "t1", "1"])
def test_a_neutral_id_names_nobody(own: str) -> None:
    assert not id_names_target(own, policy("Jane Doe"))
