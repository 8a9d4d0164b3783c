"""Print to the terminal safely: whatever file a text comes from, no sign in it moves the cursor or hides words.

Everything that is printed goes through here, on stdout and on stderr: results, errors, tracebacks, and what libraries
print. Control characters and those that turn the direction of writing are shown as JSON writes them, `\\u001b`, so that
JSON stays JSON. Only the colours that the console itself gives are let through.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.segment import Segment

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
BAR = "\r"
"""What a progress bar begins each of its lines with."""


def plain(text: str) -> str:
    """Return the text with each control character as its number."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Plain:
    """A stream that shows what is written to it and is led by none of it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        begun = BAR if text.startswith(BAR) else ""
        self.stream.write(begun + plain(text[len(begun) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Console(RichConsole):
    """A console whose colours are its own: of what it is given to print every sign is shown."""

    @property
    def file(self) -> Any:
        stream = super().file
        return stream.stream if isinstance(stream, Plain) else stream

    @file.setter
    def file(self, new_file: Any) -> None:
        self._file = new_file

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Return the text of what is to be printed, before which nothing of it reaches the file."""
        return super()._render_buffer(
            part if part.control else Segment(plain(part.text), part.style) for part in buffer
        )


def guard() -> None:
    """Let nothing reach stdout and stderr of this process otherwise, from here on."""
    for name in ("stdout", "stderr"):
        if not isinstance(stream := getattr(sys, name), Plain):
            setattr(sys, name, Plain(stream))
