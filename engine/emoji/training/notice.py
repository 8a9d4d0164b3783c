"""The credits, made from the table of styles: `python -m expunge.engine.emoji.training.notice > NOTICE`."""

from __future__ import annotations

from expunge.engine.emoji.catalogue import STYLES

HEAD = """expunge
Copyright 2026 the expunge authors

This product is licensed under the Apache License, Version 2.0 (see LICENSE).

The sheets in engine/emoji/pictures, and the built-in model and judge trained on them (engine/emoji/model,
engine/emoji/judge), are derived from the following open-licensed picture sets. The pictures were rendered from the SVG
files of the packages named, at 64 x 64 pixels on white; nothing else was changed.
"""

TAIL = """
Synonyms and clue words in engine/emoji/objects.tsv were chosen from the annotations of the Unicode Common Locale Data
Repository (CLDR 48, npm package cldr-annotations-full), Copyright Unicode, Inc., Unicode License v3 (Unicode-3.0).

Licence texts: Apache-2.0 in LICENSE; MIT https://opensource.org/license/mit;
CC-BY-4.0 https://creativecommons.org/licenses/by/4.0/legalcode;
Unicode-3.0 https://www.unicode.org/license.txt
"""


def notice() -> str:
    lines = [
        f"\n  {style.name}: {style.author}, {style.licence}, {style.url}\n    from {style.package} {style.version}"
        for style in STYLES
    ]
    return HEAD + "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    print(notice(), end="")
