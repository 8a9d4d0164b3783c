"""Find the parts that a folder offers: each module that defines one named object adds a part, and no list names it.

Editors, trainers, families, attacks and judges are registered this way. A new one is one new file in its folder.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from expunge.engine.errors import EngineError


def discover(package: str, name: str) -> dict[str, Any]:
    """Return the object called `name` of every module of `package` that defines one, by its own `name`, sorted by file.

    Args:
        package: the full name of the package; modules below its subfolders do not count.
        name: what the modules call the object, such as `EDITOR`.
    Raises:
        EngineError: two modules offer a part of the same name.
    """
    found: dict[str, Any] = {}
    for folder in import_module(package).__path__:
        for module in offering(Path(folder), name):
            part = getattr(import_module(f"{package}.{module}"), name)
            if part.name in found:
                raise EngineError(f"{package} has two parts called {part.name!r}; rename the one in {module}.py")
            found[part.name] = part
    return found


def offering(folder: Path, name: str) -> list[str]:
    """Return the names of the modules in `folder` that define `name`, sorted; none of them is imported.

    A module that only imports the name does not define it.
    """
    defined = re.compile(rf"^{name}\b *(:[^=\n]+)?=(?!=)", re.MULTILINE)
    return [path.stem for path in sorted(folder.glob("*.py")) if defined.search(path.read_text(encoding="utf-8"))]
