"""The rows that a hardening learns from, drawn anew for each step.

Attacked rows are a target's noised pictures, for a searcher to put words to. Plain rows are the same under names, words
found earlier, other words and no words. Kept rows are states of the unedited model's own paths, with what it said of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.checkpoints import State, under
from expunge.engine.editors.training.denoiser import take
from expunge.engine.editors.training.hardening.material import Material
from expunge.engine.editors.training.hardening.searchers import Searcher
from expunge.engine.families import Arguments
from expunge.engine.probes.attacks.words import joined
from expunge.engine.text.templates import Wording

WITHOUT_WORDS = 0.15  # of the kept rows
FOUND, NAMES, NOTHING, OTHER = "found", "names", "nothing", "other"
PLAIN = (FOUND, NAMES, FOUND, NAMES, FOUND, NAMES, NOTHING, OTHER)  # by turns, what plain rows are asked with


@dataclass(frozen=True)
class Rows:
    """Latents, their levels, what the model is told of them, and what it is to predict."""

    noisy: Tensor
    times: Tensor
    words: Arguments
    goal: Tensor

    def and_(self, other: Rows) -> Rows:
        """Return both, one after the other."""
        words = joined([self.words, other.words])
        latents = (torch.cat([getattr(self, name), getattr(other, name)]) for name in ("noisy", "times", "goal"))
        noisy, times, goal = latents
        return Rows(noisy, times, words, goal)


class RowDraws:
    """Draws rows of `material`; `found` is what searches found, by target, and `nothing` what is told without words.

    Without words, too, a target's rows are to come out as the goal says where `unsaid` is "moved", and as before where
    it is "kept".
    """

    def __init__(self, material: Material, nothing: Arguments, draws: torch.Generator, unsaid: str = "kept") -> None:
        self.material, self.nothing, self.draws = material, nothing, draws
        self.places = [(material.bank.target == number).nonzero()[:, 0] for number in range(len(material.names))]
        self.found: list[tuple[int, Arguments]] = []
        self.own_goals = {OTHER: material.bank.elsewhere}
        if unsaid == "kept":
            self.own_goals[NOTHING] = material.bank.unsaid

    def attacked(self, target: int, count: int) -> Tensor:
        """Return places of a target's rows in the bank."""
        own = self.places[target]
        return own[torch.randint(len(own), (count,), generator=self.draws)]

    def wording(self, target: int) -> Wording:
        """Return a wording in which words are searched for."""
        wordings = self.material.wordings[target]
        return wordings[self._one(len(wordings))]

    def plain(self, count: int, turn: int) -> Rows:
        """Return rows of all targets under each kind of words in turn, from this turn on."""
        bank = self.material.bank
        at = torch.randint(len(bank.target), (count,), generator=self.draws)
        kinds = [PLAIN[(turn + number) % len(PLAIN)] for number in range(count)]
        words = [self._asked(int(place), kind) for place, kind in zip(at, kinds, strict=True)]
        goal = torch.stack([self.own_goals.get(kind, bank.goal)[place] for place, kind in zip(at, kinds, strict=True)])
        return Rows(bank.noisy[at], bank.times[at], joined(words), goal)

    def kept(self, count: int) -> Rows:
        """Return as many rows of each group, at any state of their paths."""
        paths, groups = self.material.kept, self.material.groups
        own = torch.stack(
            [groups[turn % len(groups)][self._one(len(groups[turn % len(groups)]))] for turn in range(count)]
        )
        state = torch.randint(paths.states.shape[1], (count,), generator=self.draws)
        silent = torch.rand(count, generator=self.draws) < WITHOUT_WORDS
        words = take(self.material.conditions, self.material.spoken[own].tolist())
        words = {name: _where(silent, self.nothing[name].expand_as(rows), rows) for name, rows in words.items()}
        goal = _where(silent, paths.unsaid[own, state], paths.said[own, state])
        return Rows(paths.states[own, state], paths.times[own, state], words, goal)

    def remember(self, student: Any, searcher: Searcher) -> None:
        """Ask with these words from now on."""
        self.found.append((searcher.target, searcher.found(student, self.material.wordings[searcher.target])))

    def _asked(self, place: int, kind: str) -> Arguments:
        """Return the condition of the row at `place` in the bank."""
        material, target = self.material, int(self.material.bank.target[place])
        found = [own for owner, own in self.found if owner == target]
        if kind == NOTHING:
            return self.nothing
        if kind == OTHER:
            return take(material.conditions, [int(material.bank.other[place])])
        if kind == FOUND and found:
            own = found[self._one(len(found))]
            return take(own, [self._one(len(next(iter(own.values()))))])
        names = material.names[target]
        return take(material.conditions, [int(names[self._one(len(names))])])

    def _one(self, many: int) -> int:
        return int(torch.randint(many, (), generator=self.draws))

    def state(self) -> State:
        """Return what was found, and where the draws stand."""
        found = [under(f"found.{place}.{target}", own) for place, (target, own) in enumerate(self.found)]
        return {"draws": self.draws.get_state(), **{name: rows for own in found for name, rows in own.items()}}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        made: dict[tuple[int, int], dict[str, Tensor]] = {}
        for name, rows in state.items():
            if name.startswith("found."):
                _, place, target, argument = name.split(".", 3)
                made.setdefault((int(place), int(target)), {})[argument] = rows.to(self.nothing[argument].device)
        self.found = [(target, own) for (_, target), own in sorted(made.items(), key=lambda item: item[0])]
        self.draws.set_state(state["draws"])


def _where(flags: Tensor, these: Tensor, those: Tensor) -> Tensor:
    """Return these rows [n, ...] where the flags [n] say so, those elsewhere."""
    return torch.where(flags.to(those.device).view(-1, *[1] * (those.ndim - 1)), these, those)
