"""Names of concepts: which texts are allowed, and when two names are the same."""

from __future__ import annotations

import re
import unicodedata

from expunge.policies.errors import PolicyError, shown

NAME_LIMIT = 200
PROMPT_LIMIT = 500
PROSE_LIMIT = 5000
FORBIDDEN_IN_NAMES = ("..", "/", "\\", "#", "$", ";", "|", "&", "<", ">", "`")
KEYBOARD = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")  # for a printer's quotes and apostrophe
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Marks and letters that draw nothing, although Unicode does not class them as format characters.
BLANK_MARKS = ("VARIATION SELECTOR", "FILLER", "GRAPHEME JOINER", "BRAILLE PATTERN BLANK")
# Scripts that one word mixes by right, with each other and with Latin (UTS 39, "highly restrictive").
EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"}
# Scripts with everyday letters that NFKC takes apart.
SPLIT_VOWELS = {"THAI", "LAO"}
# Cyrillic and Greek letters that are drawn like Latin ones: a word of nothing else hides among Latin words.
LATIN_LOOKALIKES = frozenset("асԁеһіјӏорԛѕԝхуАВЕНІЈКМОРЅТХУαικνορυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")


def name_key(text: str) -> str:
    """Return what two spellings of one name share: NFC, small letters, whitespace squeezed.

    `ß` stays apart from `ss`, which an encoder reads as other words.
    """
    folded = unicodedata.normalize("NFC", text).lower()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def reading_key(text: str) -> str:
    """Return what two names share that encoders read as one, or that are edited as one.

    Such are `7up` and `7 up`, `J.K.` and `J. K.`, and a printer's quotes for a keyboard's. The key is their name key
    with words, digits and signs set apart, as a CLIP tokenizer sets them apart before it looks for pieces.
    """
    return " ".join(re.findall(r"[^\W\d_]+|\d|[^\w\s]+|_+", name_key(text).translate(KEYBOARD)))


def counting_key(text: str) -> str:
    """Return a name as attempts are counted by: its letters and digits alone, without capitals and accents.

    Two names that share it may be different things. Then one attempt too many is counted, and none too few.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain.casefold() if char.isalnum())


def checked_name(text: str, besides: str = "") -> str:
    """`text` in NFC, fit to name a thing; PolicyError (without a place) otherwise, which tells what to do `besides`."""
    text = _checked_line(text, NAME_LIMIT)
    for mark in FORBIDDEN_IN_NAMES:
        if mark in text:
            raise _refused(text, f"holds {shown(mark)}", f"write the name in plain words{besides}")
    if not any(char.isalnum() for char in text):
        raise _refused(text, "holds no letter or digit", "write the name in words")
    _check_letters(text)
    return text


def checked_target(text: str) -> str:
    """Return the name of what is to be erased, which `prompts` may spell in any way."""
    return checked_name(text, ", and the spelling with this sign as one of `prompts`")


def checked_anchor(text: str) -> str:
    """Return a name, or "" for none."""
    return checked_name(text) if text else text


def checked_prompt(text: str) -> str:
    """`text` in NFC, one printable line of 1 to PROMPT_LIMIT characters, with one place for a name, {}, or none."""
    if text.count("{}") > 1:
        raise PolicyError("", f"{shown(text)} has more than one place for a name", "leave one {}")
    if set("{}") & set(text.replace("{}", "")):
        raise PolicyError("", f"{shown(text)} holds a brace that is no place for a name", "write {} for the name")
    return _checked_line(text, PROMPT_LIMIT)


def checked_prose(text: str) -> str:
    """`text` in NFC, any number of lines, at most PROSE_LIMIT characters, nothing invisible."""
    _check_length(text, PROSE_LIMIT)
    _check_visible(text, allowed="\n\t")
    return unicodedata.normalize("NFC", text)


def described(char: str) -> str:
    """Return a character by code point and Unicode name."""
    return f"U+{ord(char):04X} {unicodedata.name(char, 'a character without a name')}"


def _checked_line(text: str, limit: int) -> str:
    if not text.strip():
        raise PolicyError("", "is empty", "write at least one word")
    _check_length(text, limit)
    _check_visible(text, allowed="")
    if text != " ".join(text.split()):
        problem = "has spaces at an end, doubled, or of another kind than U+0020"
        raise _refused(text, problem, f"write {shown(' '.join(text.split()))}")
    return unicodedata.normalize("NFC", text)


def _check_length(text: str, limit: int) -> None:
    if len(text) > limit:
        raise _refused(text, f"has {len(text)} characters", f"use at most {limit}")


def _check_visible(text: str, allowed: str) -> None:
    for char in text:
        if char in allowed:
            continue
        blank = any(words in unicodedata.name(char, "") for words in BLANK_MARKS)
        if blank or unicodedata.category(char) in INVISIBLE:
            raise _refused(text, f"holds the invisible character {described(char)}", "remove it")


def _check_letters(text: str) -> None:
    """Refuse letters chosen for their looks: of a compatibility form, or of a script foreign to their word or name."""
    for char in text:
        plain = unicodedata.normalize("NFKC", char)
        if char.isalpha() and plain != char and _script(char) not in SPLIT_VOWELS:
            raise _refused(text, f"holds {described(char)}, a variant of {shown(plain)}", f"write {shown(plain)}")
    has_latin = any(_script(char) == "LATIN" for char in text)
    for word in text.split(" "):
        foreign = _foreign_letter(word, has_latin)
        if foreign:
            problem = f"mixes scripts: {shown(word)} holds {described(foreign)}"
            raise _refused(text, problem, "write each word in one script, and other spellings as aliases")


def _foreign_letter(word: str, name_has_latin: bool) -> str:
    """Return the first letter whose script is not that of the word's majority; "" if the word is of one script."""
    letters = [char for char in word if _script(char)]
    scripts = [_script(char) for char in letters if _script(char) not in EAST_ASIAN]
    if len(set(scripts)) > 1:
        main = max(sorted(set(scripts)), key=lambda script: (scripts.count(script), script == "LATIN"))
        return next(char for char in letters if _script(char) not in EAST_ASIAN | {main})
    if name_has_latin and letters and all(char in LATIN_LOOKALIKES for char in letters):
        return letters[0]
    return ""


def _script(char: str) -> str:
    """Return the script of a letter, from the first word of its Unicode name; "" for digits, marks and signs."""
    if not char.isalpha() or unicodedata.category(char) == "Lm":
        return ""
    return re.split(r"[ -]", unicodedata.name(char, "UNKNOWN"))[0]


def _refused(text: str, problem: str, cure: str) -> PolicyError:
    return PolicyError("", f"{shown(text)} {problem}", cure)
