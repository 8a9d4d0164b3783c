"""Names that are written differently and read as one.

An encoder that separates digits and signs from letters cannot tell `7up` from `7 up`. So neither can be erased while
the other stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expunge.engine.errors import ConceptError
from expunge.engine.families import family_of
from expunge.engine.spec import EditSpec, Retain, Target


def check_apart(pipeline: Any, spec: EditSpec, stream: int = 0, typed: Sequence[Target] = ()) -> None:
    """Refuse an erased name that a text stream reads like an anchor, a kept name or another target's name.

    Args:
        pipeline: the model that reads.
        spec: the specification.
        stream: the number of the text stream.
        typed: the targets in all spellings that an editor erases, where these are more than the specification's.
    Raises:
        ConceptError: names both.
    """
    tokenizers = family_of(pipeline).tokenizers(pipeline, stream)
    roles = list(_roles(typed or spec.targets, spec.retain))
    names = [name for _, name, _ in roles]
    read = zip(*(own(names, add_special_tokens=False).input_ids for own in tokenizers), strict=True)
    erased: dict[str, tuple[str, str]] = {}
    for (place, name, is_erased), token_ids in zip(roles, read, strict=True):
        if any(own.unk_token_id in ids for own, ids in zip(tokenizers, token_ids, strict=True)):
            continue  # two names with something unknown in them are not one for that reason
        known = erased.setdefault if is_erased else erased.get
        owner, other = known(str(token_ids), (place, name))
        if owner != place:
            raise ConceptError(
                f"{place}: the text encoder reads {name!r} as it reads {other!r}, which is erased ({owner}); name "
                "something else, or leave it out"
            )


def _roles(targets: Sequence[Target], retain: Sequence[Retain]) -> Iterator[tuple[str, str, bool]]:
    """Yield the role of each name, the name, and whether it is erased; the erased ones come first."""
    for target in targets:
        yield from ((f"target {target.id}", name, True) for name in target.names)
    for target in targets:
        if target.anchor:
            yield f"anchor of {target.id}", target.anchor, False
    for kept in retain:
        yield from ((f"retain {kept.id}", name, False) for name in kept.names)
