"""Progress on stderr, for editors that train: one bar a stage, such as pictures to forget, then training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tqdm import tqdm

from expunge.engine.editors.training.base import Report, Step


@contextmanager
def show_training_progress() -> Iterator[Report]:
    """Yield the function to call after each step.

    An editor in closed form never calls it, and then nothing is shown.
    """
    shown: dict[str, tqdm] = {}
    with ExitStack() as stack:

        def show(step: Step) -> None:
            if step.stage not in shown:
                shown[step.stage] = stack.enter_context(tqdm(total=step.whole, desc=step.stage, mininterval=1))
            bar = shown[step.stage]
            if step.loss is not None:
                bar.set_postfix(loss=f"{step.loss:.3g}", refresh=False)
            bar.update(step.done - bar.n)

        yield show
