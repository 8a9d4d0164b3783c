"""The code behind a stored result: every module that a few modules import, however far away, and the digest of all.

The list is read from the modules themselves. Imports count wherever they are: at the top, in a function, behind a
condition. A module that computes the name of an import (`import_module`, `discover`) may import any module of its own
folder, so all of these count. So do the words and tables beside the modules (`*.txt`, `*.tsv`, `*.json`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from expunge.canonical_json import canonical_json, sha256

ENGINE = Path(__file__).parents[1]
NAME = "expunge.engine"
SHARED = NAME.rpartition(".")[0]
MADE_UP = {"import_module", "__import__", "iter_modules", "walk_packages", "discover"}
DATA = (".txt", ".tsv", ".json")


def closure_digest(*roots: str, engine: Path = ENGINE) -> str:
    """Return the digest of all that these modules of the engine import and read beside them, by name and content."""
    return sha256(canonical_json({name: sha256(path.read_bytes()) for name, path in closure(*roots, engine=engine)}))


def closure(*roots: str, engine: Path = ENGINE) -> list[tuple[str, Path]]:
    """Return the files, by their paths below `engine`, that these modules import, themselves included.

    Args:
        roots: names below `expunge.engine`, such as `models.sampling`.
        engine: the folder that holds the code.
    Raises:
        ModuleNotFoundError: one of the roots is no module.
    """
    found: dict[Path, None] = {}
    waiting = [_file(engine, root) for root in roots]
    if None in waiting:
        raise ModuleNotFoundError(f"{roots[waiting.index(None)]!r} is no module of {NAME}")
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found[path] = None
        waiting += _imported(engine, path)
    data = {file for path in found if path.name == "__init__.py" for file in _beside(path.parent)}
    return sorted((_name(engine, path), path) for path in {*found, *data})


def _name(engine: Path, path: Path) -> str:
    """Return a file's path below the engine; one beside the engine, which `policies` share, begins with `../`."""
    return path.relative_to(engine).as_posix() if path.is_relative_to(engine) else f"../{path.name}"


def _imported(engine: Path, path: Path) -> Iterator[Path | None]:
    names, makes_up = _said(path.read_text(encoding="utf-8"))
    if not path.is_relative_to(engine):
        return
    yield from (engine / folder / "__init__.py" for folder in path.relative_to(engine).parents)
    for name in names:
        yield from _modules(engine, _absolute(engine, path, name))
    if makes_up:
        yield from sorted(path.parent.glob("*.py"))


@cache
def _said(source: str) -> tuple[tuple[str, ...], bool]:
    """Return the names that a module imports, a relative one with its dots, and whether it computes others."""
    names, words = list[str](), set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            words |= {alias.name for alias in node.names}
            start = "." * node.level + (node.module or "")
            names += [start, *(f"{start}{'.' if node.module else ''}{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
    return tuple(names), not MADE_UP.isdisjoint(words)


def _absolute(engine: Path, path: Path, name: str) -> str:
    """Return a relative name as seen from `expunge.engine`."""
    if not name.startswith("."):
        return name
    level = len(name) - len(name.lstrip("."))
    folder = path.parent.relative_to(engine).parts
    return ".".join([NAME, *folder[: len(folder) + 1 - level], *filter(None, [name.lstrip(".")])])


def _modules(engine: Path, name: str) -> Iterator[Path | None]:
    """Yield the file of a module of the engine and of the package that it is a name in."""
    if name == NAME or name.startswith(f"{NAME}."):
        yield _file(engine, name.removeprefix(NAME).removeprefix("."))
    elif name.startswith(f"{SHARED}.") and (beside := engine.parent / f"{name.split('.')[1]}.py").is_file():
        yield beside


def _file(engine: Path, name: str) -> Path | None:
    """Return the file of the module that has this name below the engine; None for a name inside of one."""
    place = engine.joinpath(*filter(None, name.split(".")))
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _beside(package: Path) -> Iterator[Path]:
    """Yield the data in a package's folder and in those below that are no packages."""
    for path in package.iterdir():
        if path.is_dir() and not (path / "__init__.py").exists():
            yield from _beside(path)
        elif path.suffix in DATA:
            yield path
