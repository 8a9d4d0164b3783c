"""Names that are written apart and read as one: an encoder that parts digits and signs from letters does not tell
`7up` from `7 up`, so that neither can be erased while the other stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expunge.engine.errors import ConceptError
from expunge.engine.families import family_of
from expunge.engine.spec import EditSpec, Retain, Target


def check_apart(pipeline: Any, spec: EditSpec, stream: int = 0, typed: Sequence[Target] = ()) -> None:
    """ConceptError if a text stream reads an erased name as it reads an anchor, a kept name or another target's; the
    targets as they are `typed`, where an editor erases them in more spellings."""
    tokenizers = family_of(pipeline).tokenizers(pipeline, stream)
    roles = list(_roles(typed or spec.targets, spec.retain))
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


def _roles(targets: Sequence[Target], retain: Sequence[Retain]) -> Iterator[tuple[str, str, bool]]:
    """Where each name stands, and whether it is erased; those that are come first."""
    for target in targets:
        yield from ((f"target {target.id}", name, True) for name in target.names)
    for target in targets:
        if target.anchor:
            yield f"anchor of {target.id}", target.anchor, False
    for kept in retain:
        yield from ((f"retain {kept.id}", name, False) for name in kept.names)
