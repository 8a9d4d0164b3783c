"""Names that are written apart and read as one: an encoder that parts digits and signs from letters does not tell
`7up` from `7 up`, so that neither can be erased while the other stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.errors import ConceptError
from engine.families import family_of
from engine.spec import EditSpec
from engine.text import spellings


def check_apart(pipeline: Any, spec: EditSpec, stream: int = 0, typed: bool = False) -> None:
    """ConceptError if a text stream reads an erased name as it reads an anchor, a kept name or another target's; with
    `typed` an erased name in any of its `spellings`."""
    tokenizers, roles = family_of(pipeline).tokenizers(pipeline, stream), list(_roles(spec))
    if typed:
        roles = [
            (place, form, is_erased)
            for place, name, is_erased in roles
            for form in (spellings(pipeline, [name], stream) if is_erased else [name])
        ]
    names = [name for _, name, _ in roles]
    read = zip(*(own(names, add_special_tokens=False).input_ids for own in tokenizers), strict=True)
    erased: dict[str, tuple[str, str]] = {}
    for (place, name, is_erased), told in zip(roles, read, strict=True):
        if any(own.unk_token_id in ids for own, ids in zip(tokenizers, told, strict=True)):
            continue  # that two names hold something unknown does not make them one
        known = erased.setdefault if is_erased else erased.get
        owner, other = known(str(told), (place, name))
        if owner != place:
            raise ConceptError(
                f"{place}: the text encoder reads {name!r} as it reads {other!r}, which is erased ({owner}); name "
                "something else, or leave it out"
            )


def _roles(spec: EditSpec) -> Iterator[tuple[str, str, bool]]:
    """Where each name stands, and whether it is erased; those that are come first."""
    for target in spec.targets:
        yield from ((f"target {target.id}", name, True) for name in target.names)
    for target in spec.targets:
        if target.anchor:
            yield f"anchor of {target.id}", target.anchor, False
    for kept in spec.retain:
        yield from ((f"retain {kept.id}", name, False) for name in kept.names)
