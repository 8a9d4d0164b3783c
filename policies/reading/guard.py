"""Refuse files by size, encoding and bytes, before any YAML is parsed."""

from __future__ import annotations

import codecs
import re

from expunge.policies.errors import PolicyError

MOST_BYTES = 1_000_000
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
# Control characters, and the breaks that only YAML 1.1 counts as lines: they would shift every line number.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


def decoded(data: bytes, source: str) -> str:
    """Return `data` as text; PolicyError if it is too large, empty, not plain UTF-8, or holds control characters."""
    if len(data) > MOST_BYTES:
        raise PolicyError("", f"is over {MOST_BYTES} bytes", "a few kilobytes are usual: split it", None, source)
    if data.startswith(BYTE_ORDER_MARKS):
        raise PolicyError("", "starts with a byte order mark", "save it as UTF-8 without one", 1, source)
    text = _utf8(data, source)
    found = CONTROLS.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        hint = " (UTF-16?)" if found.group() == "\x00" else ""
        problem = f"holds the control character U+{ord(found.group()):04X}{hint}"
        raise PolicyError("", problem, "remove it, and save the file as UTF-8", line, source)
    if not text.strip():
        raise PolicyError(
            "", "is empty", "start from a file of policies/examples, or from policies/floor.yaml", None, source
        )
    return text


def _utf8(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            "", f"is not UTF-8 (byte 0x{data[error.start]:02x})", "save it as UTF-8", line, source
        ) from None
