"""Several judges, two readings: a target is seen where any of them might see it, all else where all of them do.

Who proves that something is gone must not profit from a judge that misses it, and who proves that something stayed must
not profit from a judge that sees it too easily. So the reading that counts for a target takes the picture where for any
member the target is the likeliest label, or its score reaches the threshold that was set for a stated miss rate. The
plain reading, for what must stay and for positive controls, wants every member to take the target for the likeliest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from expunge.engine.errors import ConceptError, ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.base import Judge, Sighting, refuse_unfit, refuse_unknown
from expunge.engine.judges.card import Card, Kind, Known, known, open_judge, read_card
from expunge.engine.judges.clip import ClipJudge
from expunge.engine.judges.ensemble import look_for_any
from expunge.engine.stats.evidence.table import NOTHING


class Panel:
    """The members by name, the first of them first, and for each category the threshold of each that judges it.

    Raises ModelFormatError where a threshold is missing or is of nobody.
    """

    recognises = True

    def __init__(
        self, members: Mapping[str, Judge], thresholds: Mapping[str, Mapping[str, float]], digest: str
    ) -> None:
        self.digest, self.members, self.thresholds = digest, tuple(members.values()), thresholds
        self.categories = frozenset[str]().union(*(member.categories for member in self.members))
        self._judging = {
            category: [(members[name], own[name]) for name in members if name in own]
            for category, own in thresholds.items()
        }
        for category in {*self.categories, *thresholds}:
            able = {name for name, member in members.items() if category in member.categories}
            if able != thresholds.get(category, {}).keys():
                raise ModelFormatError(
                    f"thresholds of {category!r} are of {sorted(thresholds.get(category, {}))}, and it is judged by "
                    f"{sorted(able)}; give each of these one"
                )

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Return one sighting a picture, with both readings; ConceptError on what a member cannot judge."""
        refuse_unfit(pictures, concepts, category, self.categories)
        return self.look_for_any(pictures, [[concept] for concept in concepts], category)

    def look_for_any(self, pictures: np.ndarray, names: Sequence[Sequence[str]], category: str) -> list[Sighting]:
        """Return the same for concepts that are known by any of several `names`."""
        refuse_unknown("category", [category], self.categories)
        answers = [_views(member, pictures, names, category) for member, _ in self._judging[category]]
        thresholds = [threshold for _, threshold in self._judging[category]]
        found = []
        for own, views in zip(names, zip(*answers, strict=True), strict=True):
            known = [(view, least) for view, least in zip(views, thresholds, strict=True) if view]
            if not known:
                raise ConceptError(f"no judge of this panel knows the {category} {own[0]!r}; use a name that one knows")
            found.append(_read([view for view, _ in known], [least for _, least in known], len(views)))
        return found


def _views(member: Judge, pictures: np.ndarray, names: Sequence[Sequence[str]], category: str) -> list[Sighting | None]:
    """Return what a member says of each picture; None where it knows none of the names, because then it has no vote."""
    knows = getattr(member, "knows", lambda name, category: True)
    known = [[name for name in own if knows(name, category)] for own in names]
    places = [place for place, own in enumerate(known) if own]
    seen = look_for_any(member, pictures[places], [known[place] for place in places], category) if places else []
    found: list[Sighting | None] = [None] * len(names)
    for place, sighting in zip(places, seen, strict=True):
        found[place] = sighting
    return found


def _read(views: Sequence[Sighting], thresholds: Sequence[float], members: int) -> Sighting:
    """Both readings of what those of the `members` that know the concept say of one picture."""
    open_eyed = [view.of_target for view in views]
    might = [view.seen or view.score >= least for view, least in zip(open_eyed, thresholds, strict=True)]
    shows = _agreed([view.shows for view in views]) if len(views) == members else ""
    sensitive = Sighting(any(might), max(view.score for view in open_eyed), shows)
    return Sighting(all(view.seen for view in views), min(view.score for view in views), shows, sensitive)


def _agreed(labels: Sequence[str]) -> str:
    """Return the label that all members give the picture.

    It is `NOTHING` where they differ, because nobody can then say what the picture shows.
    """
    if "" in labels:
        return ""
    return labels[0] if len(set(labels)) == 1 else NOTHING


def clip_of(judge: Judge) -> ClipJudge | None:
    """Return the judge itself if it is a CLIP, the first such member of a panel, or None."""
    members = judge.members if isinstance(judge, Panel) else (judge,)
    return next((member for member in members if isinstance(member, ClipJudge)), None)


def _open(folder: Path, device: str) -> Panel:
    card = read_card(folder)
    members = {name: open_judge(folder / name, device) for name in card.members}
    return Panel(members, card.thresholds, folder_digest(folder))


def _knows(folder: Path, card: Card) -> Known:
    return _known_to_any([known(folder / member) for member in card.members])


def _known_to_any(members: list[Known]) -> Known:
    """Each category of any member, with the names that some member of the category knows."""
    together: Known = {}
    for member in members:
        for category, names in member.items():
            before = together.get(category, frozenset())
            together[category] = None if before is None or names is None else before | names
    return together


JUDGE = Kind("panel", _open, _knows, needs=frozenset({"members", "thresholds"}), recognises=True)
"""`members` as of an ensemble; `thresholds` holds for each category that of each member."""
