"""The page that benchmarks write their tables into, `docs/benchmarks.md`: each fills the part between its markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "benchmarks.md"


def put(part: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between `<!-- part -->` and `<!-- /part -->`; ValueError if the page lacks the markers."""
    opening, closing = f"<!-- {part} -->", f"<!-- /{part} -->"
    found = page.read_text(encoding="utf-8")
    between = re.compile(re.escape(opening) + ".*?" + re.escape(closing), re.DOTALL)
    if not between.search(found):
        raise ValueError(f"{page} has no place for {part}: put {opening} and {closing} where its tables belong")
    body = f"{opening}\n{text.strip()}\n{closing}"
    page.write_text(between.sub(lambda _: body, found, count=1), encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table; numbers to the right, the first column to the left."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows))
