"""Letters as templates. A letter is one file in the folder of its language, and its header says what it is for.

The header is the first comment of the file, as YAML:

    title: what it is
    kinds: [the kinds of requests that it is for]       all if left out
    of: what must hold of the kind, such as `asks`      a field of `KindOfNotice`
    states: [the states in which it can be written]     all if left out
    needs: [facts without which it cannot be written]   none if left out
    otherwise: what to do where it cannot be written
    schema: the name of the schema of an export         its own name if left out
    pack: true, if the result is an archive with the evidence in which the letter is the first file

`NAME.txt` is a letter. `NAME.json` is an export: every value is printed as JSON, and the whole is held to
`SCHEMA.schema.json`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jinja2 import FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from expunge.policies.kinds import KINDS
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.views.letters.facts import Facts
from expunge.tasks.views.letters.plain_text import plain

FOLDER = Path(__file__).parent
HEADER = re.compile(r"\{#(.*?)#\}\n", re.DOTALL)
WIDTH = 78
SUFFIXES = (".txt", ".json")


@dataclass(frozen=True)
class Letter:
    """One letter in one language, as its header declares it; `file` is the template's name in that folder."""

    file: str
    language: str
    title: str
    kinds: list[str] = field(default_factory=list)
    of: str = ""
    states: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    otherwise: str = ""
    schema: str = ""
    pack: bool = False

    @property
    def name(self) -> str:
        return Path(self.file).stem

    def problem(self, facts: Facts) -> str:
        """Say why the letter cannot be written of these facts; "" if it can."""
        kinds = [kind.name for kind in KINDS.values() if not self.of or getattr(kind, self.of)]
        if facts.kind not in (fitting := [name for name in kinds if not self.kinds or name in self.kinds]):
            return f"it is for the kinds {', '.join(fitting)}, and this is {facts.kind}"
        if self.states and facts.state not in self.states:
            return f"the request is {facts.state}. {self.otherwise}".strip()
        lacking = [name for name in self.needs if not getattr(facts, name)]
        return f"what it needs is not on record ({', '.join(lacking)}). {self.otherwise}".strip() if lacking else ""


def languages() -> list[str]:
    """Return the languages that letters are written in: the folders of templates."""
    return sorted(path.parent.name for path in FOLDER.glob("*/acknowledgement.txt"))


@lru_cache(maxsize=8)
def letters(language: str) -> dict[str, Letter]:
    """Return all letters of a language by name. UsageError names the languages there are."""
    if language not in languages():
        raise UsageError(f"--language {plain(language)!r} is not there: use {', '.join(languages())}")
    files = sorted(path for path in (FOLDER / language).iterdir() if path.suffix in SUFFIXES)
    return {path.stem: _letter(path, language) for path in files}


def letter_named(name: str, language: str) -> Letter:
    """Return a letter by its name. UsageError names the letters there are."""
    known = letters(language)
    if name not in known:
        raise UsageError(f"there is no letter {plain(name)!r}: use one of {', '.join(known)}")
    return known[name]


def write(letter: Letter, facts: Facts, note: str = "") -> str:
    """Return the text of a letter. NothingOnRecord says what is not on record yet, with the cure."""
    if problem := letter.problem(facts):
        raise NothingOnRecord(f"the letter {letter.name} about {facts.reference} cannot be written: {problem}")
    text = rendered(letter.language, letter.file, {**asdict(facts), "of": KINDS[facts.kind], "note": note})
    if not letter.file.endswith(".json"):
        return "\n".join(map(_folded, text.strip().split("\n"))) + "\n"
    content = json.loads(text)
    jsonschema.validate(content, json.loads((FOLDER / f"{letter.schema or letter.name}.schema.json").read_bytes()))
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def rendered(language: str, file: str, values: Mapping[str, Any]) -> str:
    """Return a template of a language with these values, of which none is ever read as a template or as markup."""
    return _environment(language).get_template(file).render(values)


@lru_cache(maxsize=8)
def _environment(language: str) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(FOLDER / language),
        undefined=StrictUndefined,
        autoescape=lambda name: bool(name) and str(name).endswith(".html"),
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@pass_context
def _printed(context: Context, value: Any) -> Any:
    """Return a value as its template prints it: as JSON, or as one harmless line."""
    if str(context.name).endswith(".json"):
        return json.dumps(plain(value) if isinstance(value, str) else value, ensure_ascii=False)
    return plain(value) if isinstance(value, str) else value


def _folded(line: str) -> str:
    """Return a paragraph in lines of at most WIDTH characters; those of a list are indented."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _letter(path: Path, language: str) -> Letter:
    header = HEADER.match(path.read_text(encoding="utf-8"))
    assert header, f"{path} has no header"
    return Letter(path.name, language, **yaml.safe_load(header[1]))
