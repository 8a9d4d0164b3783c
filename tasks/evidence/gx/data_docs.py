"""Great Expectations' Data Docs made readable without a network.

As built, every page loads Bootstrap, jQuery, pictures and fonts from public content networks, and the index fills its
table by those scripts: opened offline it is empty. So scripts and whatever is loaded from elsewhere are taken out, a
short style is put in, and the index is written as a plain list.
"""

import html
import re
from pathlib import Path

LOADED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*\bhref=\"https?:[^>]*>|<img\b[^>]*\bsrc=\"https?:[^>]*>|<footer\b.*?</footer>",
    re.DOTALL,
)
BACKGROUND = re.compile(r"url\(['\"]?https?:[^)]*\)")
STYLE = """<style>
body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{border:1px solid #ccc;padding:.4rem .6rem;text-align:left}
.alert{background:#eef1f4;padding:.4rem .8rem;margin-top:1rem}
.fa-check-circle::before{content:"\\2713";color:#176b32}.fa-times::before{content:"\\2717";color:#a11}
.collapse,.modal,.sticky,button{display:none}
</style>"""


def make_self_contained(site: Path) -> Path:
    """Rewrite every page below `site` in place and return the index page. Doing it twice changes nothing."""
    for page in site.rglob("*.html"):
        text = BACKGROUND.sub("none", LOADED.sub("", page.read_text(encoding="utf-8")))
        page.write_text(text if STYLE in text else text.replace("</head>", STYLE + "</head>", 1), encoding="utf-8")
    for sheet in site.rglob("*.css"):
        sheet.write_text(BACKGROUND.sub("none", sheet.read_text(encoding="utf-8")), encoding="utf-8")
    index = site / "index.html"
    index.write_text(_index(site), encoding="utf-8")
    return index


def _index(site: Path) -> str:
    """Return a page of all validations, the newest first; their folders are validations/<suite>/<run>/<time>."""
    pages = sorted(site.glob("validations/*/*/*/*.html"), key=lambda page: page.parent.name, reverse=True)
    links = (
        f'<li><a href="{html.escape(page.relative_to(site).as_posix())}">'
        f"{html.escape(page.parents[2].name)}, {html.escape(page.parent.name)}</a></li>"
        for page in pages
    )
    title = "<title>Data Docs</title>"
    return f"<!doctype html><meta charset=utf-8>{title}{STYLE}<h1>Validations</h1><ul>{''.join(links)}</ul>\n"
