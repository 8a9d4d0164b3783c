"""The contest of a model and the searches against it: in each step both learn from the same rows.

The model learns the goals of attacked and plain rows (`bank.py`), and of kept rows what its unedited self predicted:

    mean over attacked and plain |e(x_t, c) - goal|^2  +  keep  mean over kept |e(x_t, c_r) - e*(x_t, c_r)|^2

A searcher learns vectors that make the same model predict what really is in the attacked rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine.editors.training.checkpoints import State, optimiser_state, part, restore_optimiser, under
from expunge.engine.editors.training.denoiser import shared_out
from expunge.engine.editors.training.hardening.bank import distance
from expunge.engine.editors.training.hardening.rows import RowDraws, Rows, joined
from expunge.engine.editors.training.hardening.searchers import Searcher, Searches
from expunge.engine.models.denoising import predicted
from expunge.engine.probes.attacks.words import repeated
from expunge.engine.text.templates import Wording

AT_A_TIME = 2  # searchers in a step
WARM_UP = 20  # steps until the full rate
Learnt = tuple[float, list[Tensor]]  # the loss, and its gradients


class Contest:
    """`student` is trained in the parameters `weights`. At the end of each round they become their running average."""

    def __init__(
        self,
        student: Any,
        weights: Sequence[nn.Parameter],
        rows: RowDraws,
        searches: Searches,
        settings: Any,
        precision: Any,
        threads: int,
    ) -> None:
        self.student, self.weights, self.rows, self.searches = student, list(weights), rows, searches
        self.settings, self.precision, self.threads = settings, precision, threads
        self.optimiser = torch.optim.Adam(self.weights, lr=settings.rate)
        self.average = [weight.detach().clone() for weight in self.weights]
        self.live = [searches.begin() for _ in range(settings.searchers)]
        self.done = 0

    def meet(self, searcher: Searcher, turn: int) -> None:
        """Train against what a search found from now on, and let it go on in the place of another."""
        self.rows.remember(self.student, searcher)
        self.live[turn % len(self.live)] = self.searches.renewed(searcher)

    def step(self) -> float:
        """Train once, on as many batches as are accumulated; the loss."""
        times, whole = self.settings.accumulate, 0.0
        for number in range(times):
            loss, gradients = self._learnt(self.done * times + number)
            whole += loss / times
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.grad = (
                    gradient.div_(times) if weight.grad is None else weight.grad.add_(gradient, alpha=1 / times)
                )
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * min(1.0, (self.done + 1) / WARM_UP)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.done += 1
        self._average()
        return whole

    @torch.no_grad()
    def settle(self) -> None:
        """Put the average in the place of the weights."""
        for weight, average in zip(self.weights, self.average, strict=True):
            weight.copy_(average)

    @torch.no_grad()
    def _average(self) -> None:
        share = 1 - min(self.settings.average, self.done / (self.done + 10))
        for weight, average in zip(self.weights, self.average, strict=True):
            average.lerp_(weight, share)

    def _learnt(self, turn: int) -> Learnt:
        """One batch of each kind; the searchers that attacked take their step."""
        count, batch = min(AT_A_TIME, len(self.live)), self.settings.batch
        turns = [(turn * count + place) % len(self.live) for place in range(count)]
        attackers = [(self.live[place], self.rows.wording(self.live[place].target)) for place in turns]
        blocks = [self.rows.attacked(own.target, max(1, batch // count)) for own, _ in attackers]
        plain, kept = self.rows.plain(batch, turn * batch), self.rows.kept(batch)

        def attacked() -> Learnt:
            return self._attacked(attackers, blocks)

        def others() -> Learnt:
            return self._others(plain, kept)

        (one, first), (other, second) = shared_out(lambda work: work(), (attacked, others), self.threads)
        self._renew(turns)
        return one + other, [own.add_(more) for own, more in zip(first, second, strict=True)]

    def _attacked(self, attackers: Sequence[tuple[Searcher, Wording]], blocks: Sequence[Tensor]) -> Learnt:
        bank, at, sizes = self.rows.material.bank, torch.cat(list(blocks)), [len(block) for block in blocks]
        with torch.enable_grad(), self.precision():
            asked = [own.asked(self.student, wording) for own, wording in attackers]
            spoken = joined([repeated(own, size) for own, size in zip(asked, sizes, strict=True)])
            said = predicted(self.student, bank.noisy[at], bank.times[at], spoken)
            errors = distance(said, bank.truth[at]).split(sizes)
            found = torch.stack([error.mean() for error in errors]).sum()  # rows do not mix: each has its own gradient
            vectors = [rows for own, _ in attackers for rows in own.vectors.values()]
            moves = iter(torch.autograd.grad(found, vectors, retain_graph=True))
            loss = distance(said, bank.goal[at]).mean() / 2
            gradients = self._gradients(loss)
        for own, _ in attackers:
            own.step([next(moves) for _ in own.vectors])
        return loss.item(), gradients

    def _others(self, plain: Rows, kept: Rows) -> Learnt:
        rows = plain.and_(kept)
        with torch.enable_grad(), self.precision():
            errors = distance(predicted(self.student, rows.noisy, rows.times, rows.words), rows.goal)
            erased, stays = errors.split([len(plain.goal), len(kept.goal)])
            loss = erased.mean() / 2 + self.settings.keep * stays.mean()
            return loss.item(), self._gradients(loss)

    def _gradients(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, self.weights, materialize_grads=True, allow_unused=True))

    def _renew(self, turns: Sequence[int]) -> None:
        """Keep the words of those whose life is over, and begin others in their place."""
        for place in turns:
            if self.live[place].done >= self.live[place].life:
                self.rows.remember(self.student, self.live[place])
                self.live[place] = self.searches.begin()

    def state(self) -> State:
        """All that the contest goes on from."""
        weights = {str(place): weight.detach() for place, weight in enumerate(self.weights)}
        average = {str(place): weight for place, weight in enumerate(self.average)}
        live = [under(f"live.{place}", own.state()) for place, own in enumerate(self.live)]
        own = {
            **under("weights", weights),
            **under("average", average),
            **under("adam", optimiser_state(self.optimiser)),
        }
        numbers = {"done": torch.tensor(self.done), "begun": torch.tensor(self.searches.begun)}
        searching = {name: rows for more in live for name, rows in more.items()}
        return {**own, **numbers, **searching, **under("rows", self.rows.state())}

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        for kind, own in (("weights", self.weights), ("average", self.average)):
            for place, weight in enumerate(own):
                weight.copy_(state[f"{kind}.{place}"])
        restore_optimiser(self.optimiser, part("adam", state))
        self.live = [self.searches.restored(part(f"live.{place}", state)) for place in range(len(self.live))]
        self.done, self.searches.begun = int(state["done"]), int(state["begun"])
        self.rows.restore(part("rows", state))
