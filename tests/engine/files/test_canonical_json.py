"""One function spells every digest's bytes; where RFC 8785 gives these bytes too, they are the same."""

from __future__ import annotations

import pytest
import rfc8785

from expunge.canonical_json import canonical_json
from expunge.policies.model.canonical import composed_json

BOTH = [
    {"b": [1, True, None, -7], "a": {"é": '\u0007 \\ " / \u2028', "": []}},
    {"share": 0.95, "small": 1e-4, "long": 0.1 + 0.2, "large": 2**53 - 1},
    ["e\u0301 stays as it is", "\U0001f600", {"\u20ac": 1, "\u0080": 2, "\r": 3}],
]
OURS_ALONE = {
    "a whole float, as limits and guidance are": ({"guidance": 2.0}, b'{"guidance":2.0}'),
    "a float below a millionth": ({"small": 1e-7}, b'{"small":1e-07}'),
    "a seed of 60 bits": ([2**60 - 1], b"[1152921504606846975]"),
    "keys beyond the first plane": ({"\U0001f600": 1, "\uff5e": 2}, '{"\uff5e":2,"\U0001f600":1}'.encode()),
}


@pytest.mark.parametrize("value", BOTH)
def test_the_bytes_are_those_of_rfc_8785_where_both_apply(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "expected"), OURS_ALONE.values(), ids=OURS_ALONE)
def test_what_rfc_8785_spells_otherwise_keeps_the_bytes_of_the_digests_there_are(value, expected: bytes) -> None:
    assert canonical_json(value) == expected
    try:
        other = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        return
    assert other != expected


def test_policies_add_one_thing_that_text_is_composed() -> None:
    value = {"b": (1, 0.1, 2.0), "a": "e\u0301"}
    assert composed_json(value) == canonical_json({"b": [1, 0.1, 2.0], "a": "\u00e9"}) != canonical_json(value)
