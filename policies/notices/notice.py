"""A notice as the record keeps it: what was found in it, without a contact in the clear and without a picture."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import Annotated, Literal

from pydantic import Field

from expunge.policies.kinds import PRIVATE_KINDS, NoticeKind
from expunge.policies.model.schema import Strict, spelled

MOST_TEXT = 500
PRIVATE = "[private]"
MAIL_ADDRESS = re.compile(r"[^\s<>\"'(),;:]{1,64}@[^\s<>\"'(),;:]{1,255}")
PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d ()/-]{6,20}\d(?!\w)")
PLACEHOLDER = re.compile(r"\W*|[\[<{].*|_+|n/?a|none|tbd|to follow|(see )?attached.*|unknown", re.IGNORECASE)

Pdq = Annotated[str, spelled(r"[0-9a-f]{64}", "the 64 lower-case hex digits of a PDQ hash")]
Reference = Annotated[str, spelled(r"contact:[0-9a-f]{32}", "contact: and 32 hex digits")]
Text = Annotated[str, Field(max_length=MOST_TEXT)]


class Notice(Strict):
    """The findings of a reader.

    `found` has the text of each element, cleared of contacts. `contacts` are all addresses in it, and `senders` those
    that it comes from: a notice also names others. `unclear` says what was in the file and could not be used.
    """

    kind: NoticeKind
    kind_stated: bool
    form: Literal["email", "lumen", "yaml"]
    found: dict[str, Text]
    contacts: tuple[Reference, ...] = ()
    senders: tuple[Reference, ...] = ()
    concept: Text = ""
    reference_pdq: tuple[Pdq, ...] = ()
    unclear: tuple[Text, ...] = ()


def contact_reference(address: str, key: bytes) -> str:
    """Return the reference to a contact: a keyed digest, which nobody without the key can try addresses against."""
    plain = unicodedata.normalize("NFKC", address).strip().casefold().encode()
    return f"contact:{hmac.new(key, plain, hashlib.sha256).hexdigest()[:32]}"


def cleared(text: str) -> str:
    """Return one short printable line of a text, with every e-mail address and telephone number taken out."""
    line = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFC", text))
    plain = PHONE.sub(PRIVATE, MAIL_ADDRESS.sub(PRIVATE, " ".join(line.split())))
    return plain if len(plain) <= MOST_TEXT else plain[: MOST_TEXT - 3] + "..."


def kept_text(kind: NoticeKind, element: str, text: str) -> str:
    """Return what the record keeps of an element's text: that it is stated, where the text could name a person."""
    personal = kind in PRIVATE_KINDS or element in ("signature", "contact", "person")
    return "stated" if personal else cleared(text)


def is_filled(text: str) -> bool:
    """Return whether a value says something: blanks, brackets and promises of a template do not."""
    return PLACEHOLDER.fullmatch(text.strip()) is None
