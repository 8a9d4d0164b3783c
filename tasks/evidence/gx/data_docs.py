"""Great Expectations' Data Docs made readable without a network, and wherever they are opened.

As built, every page loads Bootstrap, jQuery, pictures and fonts from public content networks, and the index fills its
table by those scripts: opened offline it is empty. So scripts and whatever is loaded from elsewhere are taken out, and
a short style is put in. MLflow opens a page without its folder, where a link to another page leads nowhere. So the
index has all results itself, and no page links to another.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.pages import pages_of

LOADED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*\bsrc=\"https?:[^>]*>|<footer\b.*?</footer>|<nav\b.*?</nav>",
    re.DOTALL,
)
ELSEWHERE = re.compile(r"<a\b[^>]*\bhref=\"(?!#)[^\"]*\"[^>]*>(.*?)</a>", re.DOTALL)
BACKGROUND = re.compile(r"url\(['\"]?https?:[^)]*\)")
STYLE = """<style>
body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{border:1px solid #ccc;padding:.4rem .6rem;text-align:left;vertical-align:top}
th{overflow-wrap:normal}
summary{margin:.6rem 0;cursor:pointer;font-weight:bold}
.alert{background:#eef1f4;padding:.4rem .8rem;margin-top:1rem}
.fa-check-circle::before{content:"\\2713";color:#176b32}.fa-times::before{content:"\\2717";color:#a11}
.collapse,.modal,.sticky,button{display:none}
</style>"""
PAGES = pages_of("expunge.tasks.evidence.gx")


@dataclass(frozen=True)
class Line:
    """One expectation: whether it holds, what is expected in words, and what was found."""

    held: bool
    text: str
    found: str


@dataclass(frozen=True)
class Suite:
    """The results of one suite, those that fail first; `page` is Great Expectations' own page of it."""

    name: str
    about: str
    page: str
    rows: tuple[Line, ...]

    @property
    def held(self) -> int:
        return sum(row.held for row in self.rows)

    @classmethod
    def of(cls, name: str, about: str, result: ExpectationSuiteValidationResult, site: Path) -> Suite:
        pages = sorted(site.glob(f"validations/{name}/*/*/*.html"), key=lambda page: page.parent.name)
        rows = sorted(map(_line, result.results), key=lambda row: row.held)
        return cls(name, about, pages[-1].relative_to(site).as_posix() if pages else "", tuple(rows))


def make_self_contained(site: Path) -> None:
    """Rewrite every page below `site` in place. Doing it twice changes nothing."""
    for page in site.rglob("*.html"):
        text = ELSEWHERE.sub(r"\1", LOADED.sub("", page.read_text(encoding="utf-8")))
        text = BACKGROUND.sub("none", text)
        page.write_text(text if STYLE in text else text.replace("</head>", STYLE + "</head>", 1), encoding="utf-8")
    for sheet in site.rglob("*.css"):
        sheet.write_text(BACKGROUND.sub("none", sheet.read_text(encoding="utf-8")), encoding="utf-8")


def write_index(
    site: Path, verdict: Verdict, headline: str, suites: Sequence[Suite], numbers: int, doubts: Sequence[str]
) -> Path:
    """Write the page that has verdict and results, and return it.

    `headline` is the verdict in a sentence, `numbers` is how many it rests on, `doubts` what kept the gate shut.
    """
    page = PAGES.get_template("data_docs.html").render(
        style=STYLE,
        outcome=verdict.outcome.value,
        headline=headline,
        claims=len(verdict.claims),
        numbers=numbers,
        suites=suites,
        doubts=doubts,
    )
    index = site / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _line(item: ExpectationValidationResult) -> Line:
    wanted = item.expectation_config
    stated = ((wanted.meta or {}).get("statement") or _written(wanted.description)) if wanted else None
    return Line(item.success is True, stated or (wanted.type if wanted else "says not what it expects"), _found(item))


def _written(description: str | None) -> str:
    """Return a description as it was before Great Expectations had it for HTML and templates."""
    return html.unescape((description or "").replace("$$", "$"))


def _found(item: ExpectationValidationResult) -> str:
    result = item.result or {}
    if "observed_value" in result:
        return _short(result["observed_value"])
    if "unexpected_count" in result:
        return f"{result['unexpected_count']} of {result.get('element_count', '?')} are otherwise"
    return "not evaluated" if item.exception_info and item.success is not True else ""


def _short(value: object) -> str:
    """Return a value as people read it."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."
