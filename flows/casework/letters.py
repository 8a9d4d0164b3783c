"""Letters and exports about one request, and the transparency report. The command and the desk call these functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import refuse_no_home
from expunge.flows.casework.wording import checked
from expunge.tasks.core.errors import UsageError
from expunge.tasks.views.letters.evidence_pack import evidence_pack
from expunge.tasks.views.letters.facts import facts_of, on_record
from expunge.tasks.views.letters.plain_text import MOST_TEXT
from expunge.tasks.views.letters.template import letter_named, letters, rendered, write
from expunge.tasks.views.letters.transparency import as_csv, page_values, period_of

MOST_NOTE = MOST_TEXT // 2
ENGLISH = "en"


@dataclass(frozen=True)
class Written:
    """A letter as bytes, with the name of the file that it becomes."""

    name: str
    title: str
    reference: str
    file_name: str
    content: bytes


def write_letter(
    home: Path, name: str, request_id: str, language: str = ENGLISH, note: str = "", line: str = ""
) -> Written:
    """Return a letter about a request, or about a notice that no policy has come of yet, by the record alone.

    Args:
        home: the home.
        name: the letter, as `possible_letters` lists it.
        request_id: the request.
        language: the language of the letter.
        note: a sentence that the officer adds.
        line: the model line, where several have a request of this id.

    Raises:
        UsageError: there is no such letter or language, or the note cannot be sent.
        NothingOnRecord: what the letter says is not on record yet, or there is no such request.
        LedgerError, IntegrityError: the record does not hold.
    """
    refuse_no_home(home)
    letter, found = letter_named(name, language), on_record(home, request_id, line)
    text = write(letter, facts := facts_of(found), checked("--note", note, found, MOST_NOTE))
    checked("the reason of the refusal", facts.reason, found)
    content, suffix = (evidence_pack(found, text), ".zip") if letter.pack else (text.encode(), Path(letter.file).suffix)
    return Written(name, letter.title, found.reference, f"{name}-{found.reference}{suffix}", content)


def possible_letters(home: Path, request_id: str, language: str = ENGLISH, line: str = "") -> list[dict[str, Any]]:
    """Return every letter with its title, and why it cannot be written about this request now; "" where it can."""
    refuse_no_home(home)
    facts = facts_of(on_record(home, request_id, line))
    return [
        {"name": letter.name, "title": letter.title, "problem": letter.problem(facts)}
        for letter in letters(language).values()
    ]


def transparency(home: Path, first: date, last: date, language: str = ENGLISH) -> dict[str, bytes]:
    """Return the transparency report of a period, by file name: a table and a page. UsageError if it ends too early."""
    refuse_no_home(home)
    letters(language)  # which refuses a language that is not there
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}: name the first day, then the last one")
    now = datetime.now(UTC)
    period = period_of(home, first, last, now)
    page = rendered(language, "transparency.html", page_values(period, now))
    stem = f"transparency-{first}-{last}"
    return {f"{stem}.csv": as_csv(period).encode(), f"{stem}.html": page.encode()}
