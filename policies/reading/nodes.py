"""Turn YAML text into a plain tree of nodes that know their lines, without recursion, aliases, anchors or tags.

The tree is built from parser events, so a refusal happens at the event that earns it and nothing is ever expanded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from expunge.policies.errors import PolicyError

HALVES = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+)")
MOST_DEPTH = 20
MOST_NODES = 20_000
# libyaml's parser is some twenty times faster; both give the same events.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Scalar:
    """One text as written; `plain` where it stands without quotes. Lines are 1-based."""

    text: str
    plain: bool
    line: int


@dataclass(frozen=True)
class Branch:
    """A list of nodes, or a mapping whose children are key, value, key, value."""

    mapping: bool
    line: int
    children: list[Node] = field(default_factory=list)

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        return zip(self.children[::2], self.children[1::2], strict=True)


Node = Scalar | Branch


def tree(text: str, source: str) -> Node:
    """Return the one document in `text`, which has nothing but plain nested mappings, lists and scalars.

    Raises:
        PolicyError: it has anything else; the error has the line.
    """
    top = Branch(mapping=False, line=1)
    stack = [top]
    count = 0
    for event in _events(_joined(text), source):
        _refuse_extras(event, len(top.children), source)
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            node = _node(event)
            _refuse_size(len(stack), count, node.line, source)
            stack[-1].children.append(node)
            if isinstance(node, Branch):
                stack.append(node)
    if not top.children:
        raise PolicyError(
            "", "is empty", "start from a file of policies/examples, or from policies/floor.yaml", None, source
        )
    return top.children[0]


def _joined(text: str) -> str:
    """Return the text; if it is JSON, with the characters joined that JSON escapes in two halves, unknown to YAML."""
    if not text.lstrip().startswith("{"):
        return text
    return HALVES.sub(lambda found: found[1] + json.loads(f'"{found[2]}"'), text)


def _events(text: str, source: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        start = f" ({error.context} from line {error.context_mark.line + 1})" if error.context_mark else ""
        cure = "check indentation, colons and quotes near there"
        raise PolicyError("", f"is not YAML: {error.problem}{start}", cure, line, source) from None
    except yaml.YAMLError as error:
        raise PolicyError("", f"is not YAML: {str(error).splitlines()[0]}", "save it as UTF-8", None, source) from None


def _node(event: yaml.NodeEvent) -> Node:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, plain=not event.style, line=line)
    return Branch(mapping=isinstance(event, yaml.MappingStartEvent), line=line)


def _refuse_extras(event: yaml.Event, documents: int, source: str) -> None:
    problem = cure = ""
    if isinstance(event, yaml.DocumentStartEvent):
        if documents:
            problem, cure = "holds several documents", "write one a file, without a second ---"
        elif event.version or event.tags:
            problem, cure = "starts with a % directive", "remove it"
    elif isinstance(event, yaml.AliasEvent):
        problem, cure = f"uses the alias *{event.anchor}", "write the value out"
    elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
        if event.anchor:
            problem, cure = f"sets the anchor &{event.anchor}", "remove it: aliases are not allowed"
        elif event.tag:
            problem, cure = f"uses the tag {event.tag}", "remove it: types follow from the field"
    if problem:
        raise PolicyError("", problem, cure, event.start_mark.line + 1, source)


def _refuse_size(depth: int, count: int, line: int, source: str) -> None:
    if depth > MOST_DEPTH:
        raise PolicyError("", f"is nested deeper than {MOST_DEPTH} levels", "flatten it", line, source)
    if count > MOST_NODES:
        raise PolicyError("", f"holds more than {MOST_NODES} values", "split the request", line, source)
