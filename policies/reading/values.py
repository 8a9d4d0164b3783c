"""Turn a tree of nodes into plain values, never guessing: what YAML would read as something else stays `Unclear`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from expunge.policies.errors import PolicyError, shown
from expunge.policies.reading.nodes import Branch, Node, Scalar

WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
# What YAML 1.2, or other readers of YAML 1.1, take for a number or a truth value and PyYAML does not.
OTHER_READERS = re.compile(
    r"y|Y|n|N|0o[0-7]+|[-+]?0x[0-9a-fA-F_]+|[-+]?[0-9][0-9_]*|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
)

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Unclear:
    """A plain scalar that is neither a plain decimal number, nor true or false, nor text to every reader of YAML."""

    text: str


@dataclass
class Reading:
    """The plain value, the line and the node of each path, and what was wrong already."""

    source: str
    value: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    nodes: dict[Path, Node] = field(default_factory=dict)
    errors: list[PolicyError] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """Return the line of `path`, or of the nearest parent that is written in the file."""
        known = (path[:end] for end in range(len(path), -1, -1) if path[:end] in self.lines)
        return next((self.lines[part] for part in known), None)


def dotted(path: Path) -> str:
    """("concepts", 1, "name") as `concepts[1].name`; keys that are no identifiers are quoted and escaped."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]{1,64}", part) else shown(part))
    return text


def read_values(root: Node, source: str) -> Reading:
    """Return the values of the tree. Duplicate and unclear keys become errors; the first of a kind is kept."""
    reading = Reading(source)
    reading.value = _value(root, (), root.line, reading)
    return reading


def scalar_value(node: Scalar) -> str | int | float | bool | Unclear:
    """Quoted text is text; plain text is what every reader of YAML agrees on, or else Unclear."""
    if not node.plain:
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if WHOLE.fullmatch(node.text):
        return int(node.text)
    if DECIMAL.fullmatch(node.text):
        return float(node.text) or 0.0  # no negative zero: it would change the digest
    return Unclear(node.text) if _is_implicit(node.text) else node.text


def _is_implicit(text: str) -> bool:
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
    return bool(OTHER_READERS.fullmatch(text)) or any(regexp.match(text) for _, regexp in resolvers)


def _value(node: Node, path: Path, line: int, reading: Reading) -> object:
    reading.lines[path] = line
    reading.nodes[path] = node
    if isinstance(node, Scalar):
        return scalar_value(node)
    if node.mapping:
        return _mapping(node, path, reading)
    return tuple(_value(child, (*path, i), child.line, reading) for i, child in enumerate(node.children))


def _mapping(node: Branch, path: Path, reading: Reading) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, child in node.pairs():
        here = (*path, key.text) if isinstance(key, Scalar) else path
        if not isinstance(key, Scalar):
            _refuse(key, here, "has a list or mapping as a key", "write a field's name", reading)
        elif key.text in values:
            problem = f"is written twice, on line {reading.lines[here]} and on line {key.line}"
            _refuse(key, here, problem, "keep one of them", reading)
        elif not isinstance(scalar_value(key), str):
            _refuse(key, here, f"{shown(key.text)} is no plain text to YAML", "write a field's name", reading)
        else:
            values[key.text] = _value(child, here, key.line, reading)
    return values


def _refuse(node: Node, path: Path, problem: str, cure: str, reading: Reading) -> None:
    reading.errors.append(PolicyError(dotted(path), problem, cure, node.line, reading.source))
