"""Names that hide, escape or collide are refused; honest names of any script are taken."""

from __future__ import annotations

import pytest

import expunge.policies
from tests.policies.conftest import Edited, Refusals

BAD_NAMES = {
    "empty": ('""', "is empty"),
    "blank": ('"  "', "is empty"),
    "long": ("a" * 201, "201 characters"),
    "very long": ("a" * 10_000, "10000 characters"),
    "newline": ('"a\\nb"', "U+000A"),
    "nul": ('"a\\0b"', "U+0000"),
    "escape sequence": ('"\\e[31mred"', "U+001B"),
    "zero width": ('"pan\\u200bda"', "ZERO WIDTH SPACE"),
    "right to left": ('"pan\\u202eda"', "RIGHT-TO-LEFT OVERRIDE"),
    "variation selector": ('"panda\\ufe0f"', "VARIATION SELECTOR-16"),
    "hangul filler": ('"panda\\u3164"', "HANGUL FILLER"),
    "private use": ('"\\ue000a"', "U+E000"),
    "slash": ('"a/b"', "'/'"),
    "backslash": ('"a\\\\b"', "holds"),
    "dots": ('"a..b"', "'..'"),
    "hash": ('"a#b"', "'#'"),
    "dollar": ('"$HOME"', "'$'"),
    "semicolon": ('"a;b"', "';'"),
    "pipe": ('"a|b"', "'|'"),
    "greek question mark": ('"a\\u037eb"', "';'"),
    "ampersand": ('"a&b"', "'&'"),
    "less": ('"<b>"', "'<'"),
    "greater": ('"a>b"', "'>'"),
    "backtick": ('"`id`"', "'`'"),
    "trailing space": ('"taxi "', "spaces"),
    "double space": ('"a  taxi"', "spaces"),
    "no-break space": ('"a\\u00a0taxi"', "spaces"),
    "signs only": ('"!!!"', "no letter or digit"),
    "cyrillic inside": ('"t\\u0430xi"', "U+0430 CYRILLIC SMALL LETTER A"),
    "one of each": ('"\\u0430n"', "U+0430 CYRILLIC SMALL LETTER A"),
    "greek inside": ('"tax\\u03b9"', "U+03B9 GREEK SMALL LETTER IOTA"),
    "latin inside": ('"\\u041f\\u0443\\u0442uн"', "U+0075 LATIN SMALL LETTER U"),
    "cyrillic word": ('"\\u0441\\u0430\\u0440 taxi"', "U+0441 CYRILLIC SMALL LETTER ES"),
    "full width": ('"\\uff54axi"', "FULLWIDTH LATIN SMALL LETTER T"),
    "mathematical": ('"\\U0001d42daxi"', "MATHEMATICAL BOLD SMALL T"),
    "ligature": ('"\\ufb01g"', "LATIN SMALL LIGATURE FI"),
}


@pytest.mark.parametrize(("text", "fragment"), BAD_NAMES.values(), ids=BAD_NAMES.keys())
@pytest.mark.parametrize("place", ["concepts[1].name", "concepts[0].aliases[0]", "retain[0].name"])
def test_bad_names_are_refused_wherever_a_name_stands(
    place: str, text: str, fragment: str, edited: Edited, refusals: Refusals
) -> None:
    old = {"concepts[1].name": "name: taxi", "concepts[0].aliases[0]": "[bamboo eater]", "retain[0].name": "name: bear"}
    new = f"[{text}]" if place.startswith("concepts[0]") else f"name: {text}"
    (error,) = refusals(edited(old[place], new))
    assert error.field == place
    assert fragment in error.message
    assert str(error).isprintable()
    assert len(str(error)) < 400


GOOD_NAMES = [
    "Café del Mar",
    "Владимир",
    "Vladimir Путин",
    "東京タワー",
    "Tシャツ",
    "น้ำ",
    "R2-D2",
    "O'Neil",
    "名探偵コナン 2",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_honest_names_in_any_script_are_taken(name: str, edited: Edited) -> None:
    assert (
        expunge.policies.parse(edited("name: taxi", f'name: "{name}"').encode(), "case.yaml").concepts[1].name == name
    )


def test_spellings_that_an_encoder_reads_as_other_words_are_two_names(edited: Edited) -> None:
    text = edited("name: taxi", 'name: "Strauß"\n    aliases: [Strauss]')
    assert expunge.policies.parse(text.encode(), "case.yaml").concepts[1].aliases == ("Strauss",)


def test_a_name_with_a_sign_is_told_where_its_spelling_goes(edited: Edited, refusals: Refusals) -> None:
    (error,) = refusals(edited("name: taxi", 'name: "Tom & Jerry"'))
    assert "as one of `prompts`" in str(error)
    spelled = edited("name: taxi", 'name: Tom and Jerry\n    prompts: ["Tom & Jerry"]')
    assert expunge.policies.parse(spelled.encode(), "case.yaml").concepts[1].prompts == ("Tom & Jerry",)


def test_decomposed_and_composed_names_collide(edited: Edited, refusals: Refusals) -> None:
    text = edited("name: taxi", 'name: "Caf\\u00c9"').replace("name: bear", 'name: "cafe\\u0301"')
    (error,) = refusals(text)
    assert error.field == "retain[0].name"
    assert "'café'" in error.message
    assert "'CafÉ'" in error.message


@pytest.mark.parametrize(
    ("old", "new"), [("name: bear", 'name: "salt & pepper"'), ("name: taxi", 'name: taxi\n    anchor: "salt & pepper"')]
)
def test_a_name_that_is_not_erased_is_not_told_of_prompts(
    old: str, new: str, edited: Edited, refusals: Refusals
) -> None:
    (error,) = refusals(edited(old, new))
    assert "write the name in plain words" in str(error)
    assert "prompts" not in str(error)


@pytest.mark.parametrize(
    ("old", "new", "field", "told"),
    [
        ("name: bear", 'name: "7 up"', "retain[0].name", "is to be kept, but concepts[1].name '7up' erases it"),
        ("aliases: [bamboo eater]", 'aliases: ["7 up"]', "concepts[1].name", "an encoder reads '7up' as it reads"),
        ("name: taxi", 'name: 7up\n    anchor: "7 up"', "concepts[1].anchor", "is itself erased by concepts[1].name"),
    ],
)
def test_what_an_encoder_reads_as_one_is_one_in_a_policy(
    old: str, new: str, field: str, told: str, edited: Edited, refusals: Refusals
) -> None:
    (error,) = refusals(edited(old, new).replace("name: taxi", "name: 7up"))
    assert error.field == field
    assert told in error.message


def test_a_concept_may_have_both_spellings(edited: Edited) -> None:
    text = edited("name: taxi", 'name: 7up\n    aliases: ["7 up"]')
    assert expunge.policies.parse(text.encode(), "case.yaml").concepts[1].aliases == ("7 up",)
