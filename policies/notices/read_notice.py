"""Turn a file into a Notice: an e-mail as plain text, a notice in the JSON of Lumen, or our own YAML.

A reader takes what it can and guesses nothing. Input is hostile: it is bounded before it is parsed, pictures and other
attachments are never kept, and what is written only in HTML, where text can be hidden, is not read.
"""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

from expunge.policies.errors import PolicyError, PolicyErrors
from expunge.policies.kinds import KINDS, PRIVATE_KINDS, REQUESTS, NoticeKind
from expunge.policies.notices.notice import (
    MAIL_ADDRESS,
    Notice,
    cleared,
    contact_reference,
    is_filled,
    kept_text,
)
from expunge.policies.notices.plain_text import find_elements, labelled, own_text
from expunge.policies.reading.guard import decoded
from expunge.policies.reading.nodes import Branch, tree
from expunge.policies.reading.values import read_values

MOST_MAIL, MOST_PARTS, MOST_BODY, MOST_CONTACTS = 10_000_000, 100, 200_000, 10
HEADER = re.compile(rb"\A(?:[A-Za-z][A-Za-z-]{0,60}:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n")
PDQ_LINE = re.compile(r"\bPDQ\s*:\s*([0-9a-f]{64})\b", re.IGNORECASE)
LUMEN_KINDS = {kind.lumen: kind.name for kind in KINDS.values() if kind.lumen and not kind.lumen_is_wider}
OWN_FIELDS = ("kind", "concept", "contacts", "reference_pdq", "elements")


def read_notice(data: bytes, source: str, key: bytes, kind: NoticeKind | None = None) -> Notice:
    """Return the content of a notice.

    Args:
        data: the file.
        source: its name in errors.
        key: makes contacts references.
        kind: what the person who hands it in says it is.
    Raises:
        PolicyErrors: the file cannot be read at all; the errors have the field and the cure.
    """
    try:
        if data.lstrip().startswith(b"{"):
            return _of_lumen(_mapping(data, source), source, key, kind)
        if HEADER.match(data.replace(b"\r\n", b"\n")) and b"notice_version" not in data[:200]:
            return _of_mail(data, source, key, kind)
        return _of_form(_mapping(data, source), source, key, kind)
    except PolicyError as error:
        raise PolicyErrors([error]) from None


def _of_mail(data: bytes, source: str, key: bytes, kind: NoticeKind | None) -> Notice:
    if len(data) > MOST_MAIL:
        raise PolicyError("", f"is over {MOST_MAIL} bytes", "save the mail without its attachments", None, source)
    if b"\0" in data:
        raise PolicyError("", "holds NUL bytes", "save the mail as plain text", None, source)
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        text, unclear = _body(message)
        senders = MAIL_ADDRESS.findall(str(message.get("From", ""))[:1000])
    except (RecursionError, ValueError, LookupError, AttributeError, IndexError, TypeError) as error:
        cure = "save the mail as plain text, without attachments"
        raise PolicyError("", f"is no mail that can be read ({type(error).__name__})", cure, None, source) from None
    text, known = own_text(text), kind or "other"
    found = find_elements(text, known)
    if senders and any(element.name == "contact" for element in KINDS[known].elements):
        found["contact"] = "stated"
    return Notice(
        kind=known,
        kind_stated=kind is not None,
        form="email",
        found=found,
        contacts=_references([*senders, *MAIL_ADDRESS.findall(text)], key),
        senders=_references(senders[:1], key),
        concept=_concept(known, labelled(text).get("concept", "")),
        reference_pdq=tuple(dict.fromkeys(found.lower() for found in PDQ_LINE.findall(text))),
        unclear=tuple(unclear),
    )


def _body(message: EmailMessage) -> tuple[str, list[str]]:
    """Return the plain text of a mail, and what else is in it, by type alone: nobody keeps a name or a byte of it."""
    texts, unclear, html = [], [], False
    for number, part in enumerate(message.walk()):
        if number >= MOST_PARTS:
            raise ValueError("too many parts")
        if part.is_multipart():
            continue
        if part.get_content_type() == "text/plain" and part.get_content_disposition() != "attachment":
            texts.append(str(part.get_content())[:MOST_BODY])
        elif part.get_content_type() == "text/html":
            html = True
        else:
            unclear.append(f"an attachment ({cleared(part.get_content_type())[:80]}) was not read and is not kept")
    if html and not texts:
        unclear.append("the text is HTML alone, where words can be hidden: ask for it as plain text")
    return "\n".join(texts)[:MOST_BODY], unclear


def _of_lumen(tree_of: dict[str, Any], source: str, key: bytes, kind: NoticeKind | None) -> Notice:
    """Read what `lumendatabase.org` gives for a notice: the notice itself, or under one key of its type."""
    inner = tree_of if "type" in tree_of else next(iter(tree_of.values()), None)
    if not isinstance(inner, dict) or not isinstance(inner.get("type"), str):
        raise PolicyError("type", "is missing", "give one notice as Lumen's API has it", None, source)
    known = kind or LUMEN_KINDS.get(inner["type"], "other")
    works = [work for work in _list(inner.get("works")) if isinstance(work, dict)]
    addresses = [one["url"] for work in works for one in _list(work.get("infringing_urls")) if _has_url(one)]
    descriptions = [text for work in works if is_filled(text := _text(work.get("description")))]
    texts = {"work": "; ".join(descriptions), "mark": "", "material": " ".join(addresses)}
    body = own_text(_text(inner.get("body")))
    wanted = {element.name for element in KINDS[known].elements}
    listed = {name: kept_text(known, name, text) for name, text in texts.items() if text and name in wanted}
    return Notice(
        kind=known,
        kind_stated=kind is not None or inner["type"] in LUMEN_KINDS,
        form="lumen",
        found={**listed, **find_elements(body, known)},
        contacts=_references(MAIL_ADDRESS.findall(body), key),
    )


def _of_form(fields: dict[str, Any], source: str, key: bytes, kind: NoticeKind | None) -> Notice:
    if str(fields.pop("notice_version", "")) != "1":
        cure = 'write notice_version: "1" first; a policy is submitted, not received'
        raise PolicyError("notice_version", "is not given, so this is no notice", cure, None, source)
    for name in fields:
        if name not in OWN_FIELDS:
            raise PolicyError(cleared(name), "is an unknown field", f"use {', '.join(OWN_FIELDS)}", None, source)
    stated = kind or fields.get("kind")
    if kind is None and stated is not None and stated not in REQUESTS:
        raise PolicyError("kind", "is none of the kinds", f"use one of: {', '.join(REQUESTS)}", None, source)
    known: NoticeKind = stated or "other"
    elements = fields.get("elements", {})
    if not isinstance(elements, dict):
        raise PolicyError("elements", "is no mapping", "write 'element: text' lines", None, source)
    names = [element.name for element in KINDS[known].elements]
    for name in elements:
        if name not in names:
            cure = f"use {', '.join(names)}"
            raise PolicyError(f"elements.{cleared(name)}", f"is unknown for the kind {known}", cure, None, source)
    said = {name: _text(value) for name, value in elements.items()}
    contacts = [_text(one) for one in _list(fields.get("contacts"))]
    found = {name: kept_text(known, name, text) for name, text in said.items() if is_filled(text)}
    return Notice(
        kind=known,
        kind_stated=stated is not None,
        form="yaml",
        found=found | ({"contact": "stated"} if contacts and "contact" in names else {}),
        contacts=_references([*contacts, *MAIL_ADDRESS.findall(" ".join(said.values()))], key),
        senders=_references(contacts, key),
        concept=_concept(known, _text(fields.get("concept"))),
        reference_pdq=_hashes(_list(fields.get("reference_pdq")), source),
    )


def _hashes(values: list[Any], source: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
            cure = "give the 64 lower-case hex digits of each picture's PDQ hash, in quotes, and never the picture"
            raise PolicyError("reference_pdq", "holds something that is no PDQ hash", cure, None, source)
    return tuple(values)


def _mapping(data: bytes, source: str) -> dict[str, Any]:
    root = tree(decoded(data, source), source)
    if not (isinstance(root, Branch) and root.mapping):
        raise PolicyError("", "is not a mapping of fields", "write 'field: value' lines", root.line, source)
    reading = read_values(root, source)
    if reading.errors:
        raise reading.errors[0]
    assert isinstance(reading.value, dict), "a mapping is read as one"
    return reading.value


def _references(addresses: list[str], key: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(contact_reference(one, key) for one in addresses[:MOST_CONTACTS] if one))


def _concept(kind: NoticeKind, text: str) -> str:
    """Return the word for the target that the notice gives; none where it could be a person's name."""
    return "" if kind in PRIVATE_KINDS else cleared(text)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _has_url(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("url"), str)
