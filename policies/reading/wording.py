"""Turn pydantic's findings into messages for a policy's author: field, line, problem, cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from expunge.policies.errors import PolicyError, PolicyErrors, shown
from expunge.policies.reading.nodes import Branch, Node, Scalar
from expunge.policies.reading.values import Path, Reading, dotted, scalar_value

MOST_FINDINGS = 100
NUMBER_CURE = "write a plain decimal number without quotes, such as {example}"
WANTED = {
    "string_type": ("text", "write text in quotes"),
    "string_unicode": ("valid Unicode text", "remove the lone surrogate"),
    "int_type": ("a whole number", NUMBER_CURE.format(example="8")),
    "int_from_float": ("a whole number", NUMBER_CURE.format(example="8")),
    "float_type": ("a number", NUMBER_CURE.format(example="0.10")),
    "finite_number": ("a finite number", NUMBER_CURE.format(example="0.10")),
    "tuple_type": ("a list", "write one item a line, each after '- '"),
    "dict_type": ("a mapping", "write 'field: value' lines"),
    "model_type": ("a mapping", "write 'field: value' lines"),
}


def reworded(error: ValidationError, reading: Reading, shape: type[BaseModel]) -> Iterator[PolicyError]:
    """Yield one PolicyError for each finding on what was to be a `shape`, with the line of its field.

    After `MOST_FINDINGS` of them only their number follows.
    """
    findings = error.errors(include_url=False)
    for finding in findings[:MOST_FINDINGS]:
        path: Path = tuple(part for part in finding["loc"] if part != "[key]")
        cause = finding.get("ctx", {}).get("error")
        if isinstance(cause, PolicyErrors):
            yield from placed(cause.errors, reading)
        elif isinstance(cause, PolicyError):
            yield cause.at(dotted(path), reading.line(path), reading.source)
        else:
            problem, cure = _words(finding, path, reading.nodes.get(path), shape)
            yield PolicyError(dotted(path), problem, cure, reading.line(path), reading.source)
    if len(findings) > MOST_FINDINGS:
        more = len(findings) - MOST_FINDINGS
        yield PolicyError("", f"has {more} more problems", "mend those named first", None, reading.source)


def placed(errors: Iterable[PolicyError], reading: Reading) -> Iterator[PolicyError]:
    """Yield errors that know their field with its line.

    Where the field is left at its default, the line is that of its section.
    """
    lines = {dotted(path): line for path, line in reading.lines.items()}
    for error in errors:
        section = error.field.split(".")[0].split("[")[0]
        yield error.at(error.field, lines.get(error.field, lines.get(section)), reading.source)


def _words(finding: Any, path: Path, node: Node | None, shape: type[BaseModel]) -> tuple[str, str]:
    kind, limits = finding["type"], finding.get("ctx", {})
    if kind == "missing":
        return "is missing", "add it"
    if kind == "extra_forbidden":
        return "is an unknown field", _nearest(str(path[-1]), _fields(path[:-1], shape))
    if kind == "literal_error":
        return _literal(limits["expected"], node)
    if kind in WANTED:
        return _wrong_type(*WANTED[kind], node)
    return f"{_written(node)}is out of range", finding["msg"].replace("Input should", "it should")


def _wrong_type(wanted: str, cure: str, node: Node | None) -> tuple[str, str]:
    if isinstance(node, Scalar) and node.plain and not node.text:
        return f"has no value, {wanted} is wanted", f"{cure}, or remove the line"
    if wanted == "text" and isinstance(node, Scalar):
        return f"{_written(node)}is not text to YAML", f"put it in quotes: {_quoted(node.text)}"
    return f"{_written(node)}is not {wanted}", cure


def _literal(expected: str, node: Node | None) -> tuple[str, str]:
    allowed = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    if not isinstance(node, Scalar):
        return "must be one word", f"use one of: {', '.join(allowed)}"
    if node.text in allowed and not isinstance(scalar_value(node), str):
        return f"{_written(node)}is not text to YAML", f"put it in quotes: {_quoted(node.text)}"
    return f"{_written(node)}is not allowed here", _nearest(node.text, allowed)


def _nearest(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(word[:64].lower(), allowed, n=1)
    return f"did you mean {close[0]}?" if close else f"use one of: {', '.join(allowed)}"


def _fields(path: Path, model: type[BaseModel]) -> list[str]:
    """Return the fields that the model at `path` has, from `model` on."""
    for part in path:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel]:
    """Return the model in `Model` or `tuple[Model, ...]`."""
    return next(kind for kind in (*get_args(annotation), annotation) if isinstance(kind, type))


def _written(node: Node | None) -> str:
    if isinstance(node, Scalar):
        return f"{shown(node.text)} "
    if isinstance(node, Branch):
        return "a mapping " if node.mapping else "a list "
    return ""


def _quoted(text: str) -> str:
    return f'"{text[:80]}"'
