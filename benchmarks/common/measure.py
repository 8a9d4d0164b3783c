"""What the benchmarks on pictures share: what is asked, what editors are told, and what the judge sees."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import harmonic_mean
from tempfile import gettempdir
from typing import Any

import numpy as np

from benchmarks.common.concepts import Case, erased, identifier, kept
from expunge.engine.editors.oce import EXPANDED
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training.quality import offered
from expunge.engine.families import family_of
from expunge.engine.judges import ClipJudge, fault
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes import Question, Subject, questions
from expunge.engine.spec import EditSpec, Retain
from expunge.engine.text.templates import in_company, templates, worded
from expunge.engine.text.vocabulary import general_words

STORE = Path(gettempdir()) / "expunge-pictures"
SAME_NOISE = Sampler(apart=False)  # as all that is recorded was drawn; rates are compared here, and none is bounded
PROMPTS, SEEDS = 8, 4  # of which a sample is asked
GROUPS = ("target", "synonym", "look_alike", "other", "style")
KEPT = ("look_alike", "other", "style")


@dataclass(frozen=True)
class Asked:
    """A question and the group that its answer counts in."""

    group: str
    question: Question


def spec(case: Case, editor: str, settings: Mapping[str, Any]) -> EditSpec:
    """Return an editor's input: targets by name alone, their look-alikes and the kept styles, and no other objects."""
    gone = [erased(name, anchor=case.anchor) for name in case.objects]
    gone += [erased(name, category="style", anchor=case.style_anchor) for name in case.styles]
    near = {twin for name in case.objects for twin in twins(name)} - set(case.objects)
    stay = [kept(name) for name in sorted(near)]
    stay += [kept(look.name, "style") for look in STYLES if look.name not in case.styles]
    return EditSpec(tuple(gone), tuple(stay), editor, dict(settings))


def retaining(plain: EditSpec, model: Any, count: int) -> EditSpec:
    """Return the specification with `count` names more to retain: the model's own words, then pairs of these at random.

    Some editors are published with a thousand names and more to retain beside what is erased.
    """
    words = general_words(family_of(model).tokenizers(model, 0)[0], plain.erased, count, plain.seed)
    order = random.Random(f"names/{plain.seed}")
    pairs = (" ".join(order.sample(words, 2)) for _ in range(4 * count))
    known = {name for concept in plain.retain for name in concept.names}
    names = [name for name in dict.fromkeys([*words, *pairs]) if name not in known][:count]
    more = tuple(Retain(f"name {name}", (name,), kind="general") for name in names)
    return replace(plain, retain=(*plain.retain, *more))


def asked(case: Case, pictures: int, unseen: bool = False) -> list[Asked]:
    """Return the questions to every model in a case: about `pictures` a group, each subject as often as any other.

    Only concepts that the model draws well are asked for. Every target is asked for at least once. The prompts are the
    probes' wordings, some of which are templates of editors too; `unseen` leaves these out, but with synonyms.
    """
    pool: dict[str, list[Question]] = defaultdict(list)
    known = templated() if unseen else ()
    for question in questions(subjects(case), PROMPTS, SEEDS, 1000 * case.draw):
        if (group := _group(question)) == "synonym" or question.shot.prompt not in known:
            pool[group].append(question)
    least = {"target": len({question.subject.id for question in pool["target"]})}
    return [
        Asked(group, question)
        for group in GROUPS
        for question in balanced(pool[group], max(pictures, least.get(group, 0)), f"{case.name}/{case.draw}/{group}")
    ]


@cache
def templated() -> frozenset[str]:
    """Every prompt that a template of any editor makes of a name that is reported."""
    things, looks = [item.name for item in OBJECTS], [look.name for look in STYLES]
    lines = [line for name in ("object", "style", "general") for line in templates(name)]
    lines += [line for own in EXPANDED.values() for line in own]
    return frozenset(text.text for text in (*worded([*things, *looks], lines), *in_company(looks, things)))


def subjects(case: Case) -> list[Subject]:
    """Targets, look-alikes, other objects and other styles, all that the model draws well."""
    good = offered()
    known = {item.name: item.synonyms for item in (*OBJECTS, *STYLES)}
    near = {twin for name in case.objects for twin in twins(name)} - set(case.objects)
    far = [item.name for item in OBJECTS if item.name not in near and item.name not in case.objects]
    gone = [Subject(identifier(name), "target", "object", name, known[name]) for name in case.objects if name in good]
    gone += [Subject(identifier(name), "target", "style", name, known[name]) for name in case.styles if name in good]
    stay = [Subject(identifier(name), "look_alike", "object", name) for name in sorted(near) if name in good]
    stay += [Subject(identifier(name), "general", "object", name) for name in far if name in good]
    looks = [look.name for look in STYLES if look.name not in case.styles and look.name in good]
    return gone + stay + [Subject(identifier(name), "general", "style", name) for name in looks]


def balanced(pool: Sequence[Question], count: int, seed: str) -> list[Question]:
    """Return at most `count` questions, drawn by `seed`, one of each subject in turn."""
    order = random.Random(seed)
    own: dict[str, list[Question]] = defaultdict(list)
    for question in pool:
        own[question.subject.id].append(question)
    for rows in own.values():
        order.shuffle(rows)
    turns = list(own.values())
    order.shuffle(turns)
    mixed = (question for turn in itertools.zip_longest(*turns) for question in turn if question is not None)
    return list(itertools.islice(mixed, count))


def pictures(
    model: Any, weights: str, store: PictureStore, asked: Sequence[Question], sampler: Sampler = SAME_NOISE
) -> np.ndarray:
    """Return the picture of each question, uint8 [n, height, width, 3]; it is drawn if the store lacks it."""
    keys = store.draw(model, weights, [question.shot for question in asked], sampler)
    return np.stack([store.read(key) for key in keys])


def seen(judge: ClipJudge, shown: np.ndarray, asked: Sequence[Question]) -> np.ndarray:
    """Return whether the judge sees what each question asks for, bool [n]."""
    found = np.zeros(len(asked), bool)
    for category in {question.subject.category for question in asked}:
        places = [place for place, question in enumerate(asked) if question.subject.category == category]
        sightings = judge.look(shown[places], [asked[place].subject.name for place in places], category)
        found[places] = [sighting.seen for sighting in sightings]
    return found


def scores(asked: Sequence[Asked], found: np.ndarray, shown: np.ndarray, before: np.ndarray) -> dict[str, float]:
    """Rates by group, H_o and the distance from the pictures `before`; a group that was not asked for has no rate.

    A faulty picture (black or constant) counts against the edit: as a target seen, as a kept concept lost.
    """
    faulty = np.array([bool(fault(picture)) for picture in shown])
    groups = np.array([item.group for item in asked])
    stays = np.isin(groups, KEPT)
    counted = np.where(faulty, ~stays, found)
    rates = {group: float(counted[groups == group].mean()) for group in GROUPS if (groups == group).any()}
    moved = np.sqrt(((shown[stays] / 255.0 - before[stays] / 255.0) ** 2).mean((1, 2, 3)))
    return {**rates, "h_o": h_o(rates), "distance": float(moved.mean()), "faults": float(faulty.sum())}


def h_o(rates: Mapping[str, float]) -> float:
    """MACE's overall score (arXiv 2403.06135): the harmonic mean of 1 - Acc_e, Acc_s and 1 - Acc_g.

    Acc_e and Acc_g are the rates of targets by name and by synonyms, Acc_s is the mean of the kept groups' rates, each
    group weighing alike. A term of which nothing was asked is left out.
    """
    stay = [rates[group] for group in KEPT if group in rates]
    terms = [1 - rates[group] for group in ("target", "synonym") if group in rates]
    return harmonic_mean([*terms, *([sum(stay) / len(stay)] if stay else [])])


def _group(question: Question) -> str:
    if question.subject.role == "target":
        return "synonym" if question.probe == "alias" else "target"
    if question.subject.category == "style":
        return "style"
    return "look_alike" if question.subject.role == "look_alike" else "other"
