"""Ask a person for what a request needs. An answer that cannot be used is asked for again; one by an option is refused.

Questions go to stderr and answers come from stdin, a terminal or a pipe. Where the input ends, the error names the
option by which the answer can be given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar, get_args

from expunge.flows.casework.new_request import check
from expunge.policies import PolicyError, PolicyErrors
from expunge.policies.kinds import KINDS, Kind
from expunge.policies.kinds.kind import Element
from expunge.policies.model.lasting import PERMANENT
from expunge.policies.model.schema import Category
from expunge.policies.notices.new_policy import (
    Answers,
    checked_anchor_name,
    checked_element,
    checked_end,
    checked_names,
)
from expunge.tasks.core.base_model import digest_of
from expunge.tasks.core.errors import UsageError

Answer = TypeVar("Answer")
MODEL = "builtin:emoji"


@dataclass(frozen=True)
class Given:
    """The answers that were given by options; None where there is none."""

    target: str | None = None
    category: str | None = None
    keep: str | None = None
    general: str | None = None
    anchor: str | None = None
    model: str | None = None
    expires: str | None = None


def ask_elements(kind: Kind, given: Mapping[str, str]) -> dict[str, str]:
    """Return by name what the notice says for each element of its kind; what it does not say is left out.

    Raises PolicyError on an answer by option that the kind has no use for.
    """
    found = {name: checked_element(kind, name, text) for name, text in given.items()}
    open_elements = [element for element in KINDS[kind].elements if element.name not in found]
    if open_elements:
        _say(f"What a request of the kind {kind} must contain. Leave empty what the notice does not say.")
    for element in open_elements:
        checked = partial(checked_element, kind, element.name)
        found[element.name] = _ask(_words(element), f"--element {element.name}=TEXT", checked, None, "")
    return {name: text for name, text in found.items() if text}


def ask_answers(kind: Kind, given: Given, received_at: datetime) -> Answers:
    """Return the answers of which a policy is made.

    Answers that contradict each other are asked for again, where they came from a person.

    Raises:
        UsageError: the input ended before an answer that is needed.
        PolicyErrors: the answers by options contradict each other.
    """
    while True:
        answers = _answers(kind, given)
        try:
            check(answers, kind, received_at)
            return answers
        except PolicyErrors as errors:
            if None not in (given.target, given.keep):
                raise
            for error in errors.errors:
                _say(f"{error.field}: {error.message}; {error.cure}")


def _answers(kind: Kind, given: Given) -> Answers:
    target = _ask("What must the model forget? Then its other names, with ; between", "--target", _target, given.target)
    category = _ask(f"What is it: {', '.join(get_args(Category))}", "--category", _category, given.category, "object")
    keep = _ask("What looks like it and has to stay? Names with ; between", "--keep", _kept, given.keep)
    general = _ask("What else has to stay? Names with ; between, or nothing", "--general", _general, given.general, "")
    become = "What does the target become? Nothing leaves it to the editor"
    anchor = _ask(become, "--anchor", checked_anchor_name, given.anchor, "")
    model = _ask("Which model", "--model", _model, given.model, MODEL)
    until = "Until when does it hold, with time and zone? Nothing is until it is withdrawn"
    asked = given.expires if given.expires is not None or kind not in PERMANENT else ""
    return Answers([target], category, keep, model, anchor, general, _ask(until, "--expires", checked_end, asked, ""))


def _words(element: Element) -> str:
    """Return the question for an element: what the law wants, and how it is answered."""
    how = "does the notice state it, yes or no" if element.statement else "what does the notice say"
    return f"{element.name.replace('_', ' ')} ({element.source})\n  {element.ask}\n  {how}"


def _ask(
    question: str,
    option: str,
    check_answer: Callable[[str], Answer],
    given: str | None,
    default: str | None = None,
) -> Answer:
    """Return the answer, by option or by a person; without a default it is needed."""
    if given is not None:
        return check_answer(given)
    while True:
        print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            if default is None:
                raise UsageError(f"no answer to {question!r}: give it by {option}")
            return check_answer(default)
        try:
            return check_answer(line.strip() or default or "")
        except PolicyError as error:
            _say(f"{error.field}: {error.message}; {error.cure}")


def _target(text: str) -> list[str]:
    return _some(checked_names(text, "target", target=True), "target", "name what the model must forget")


def _kept(text: str) -> list[str]:
    return _some(checked_names(text, "keep"), "keep", "name at least one thing, or nobody can tell what else is lost")


def _general(text: str) -> list[str]:
    return checked_names(text, "general")


def _model(text: str) -> tuple[str, str]:
    return text, digest_of(text)


def _some(names: list[str], field: str, cure: str) -> list[str]:
    if not names:
        raise PolicyError(field, "is empty", cure)
    return names


def _category(text: str) -> Category:
    if text not in get_args(Category):
        raise PolicyError("category", f"{text[:60]!r} is none of them", f"use one of {', '.join(get_args(Category))}")
    return text  # pyright: ignore[reportReturnType] (one of them, by the check)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
