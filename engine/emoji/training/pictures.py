"""The pictures, rendered from the npm archives into one sheet a style, and read back as an array.

`python -m expunge.engine.emoji.training.pictures` makes `pictures/<style>.png` (a grid of 64 px tiles in the order of
objects.tsv) from the pinned packages, each checked by its sha256, and prints the digest of the whole array.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from expunge.engine.emoji.catalogue import HERE, OBJECTS, STYLES, Style

SIDE = 64
COLUMNS = 12
SHEETS = HERE / "pictures"


def fetch(style: Style, folder: Path) -> dict:
    """Download the style's npm archive and return its icons.json.

    Raises:
        ValueError: its digest is not the pinned one.
    """
    packed = subprocess.run(
        ["npm", "pack", "--silent", f"{style.package}@{style.version}"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    archive = folder / packed.stdout.strip().splitlines()[-1]
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != style.sha256:
        raise ValueError(f"{style.package}@{style.version}: sha256 {found}, styles.tsv says {style.sha256}")
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/icons.json")
        assert member is not None
        return json.load(member)


def render(icons: dict, name: str) -> Image.Image:
    """Draw one icon of an Iconify set on white, `SIDE` x `SIDE`."""
    import resvg_py  # pyright: ignore[reportMissingImports] (the extra `train`)

    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=2 * SIDE, height=2 * SIDE, background="white")
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def build() -> None:
    """Write every style's sheet."""
    SHEETS.mkdir(exist_ok=True)
    rows = -(-len(OBJECTS) // COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        for style in STYLES:
            icons = fetch(style, Path(scratch))
            sheet = Image.new("RGB", (COLUMNS * SIDE, rows * SIDE), "white")
            for place, item in enumerate(OBJECTS):
                corner = (place % COLUMNS * SIDE, place // COLUMNS * SIDE)
                sheet.paste(render(icons, item.icon), corner)
            sheet.save(SHEETS / f"{style.name}.png", optimize=True)


def load() -> np.ndarray:
    """Return all pictures as uint8 [objects, styles, SIDE, SIDE, 3]."""
    sheets = [np.asarray(Image.open(SHEETS / f"{style.name}.png").convert("RGB")) for style in STYLES]
    tiles = np.stack([_tiles(sheet) for sheet in sheets], axis=1)
    return tiles[: len(OBJECTS)]


def _tiles(sheet: np.ndarray) -> np.ndarray:
    rows = sheet.shape[0] // SIDE
    grid = sheet.reshape(rows, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2)
    return grid.reshape(rows * COLUMNS, SIDE, SIDE, 3)


def variants(pictures: np.ndarray) -> np.ndarray:
    """Return two variants of each picture, uint8 [2, ...]: as drawn, and at seven eighths of the size.

    There is no mirror image. Where a first denoising step must average a thing with its mirror, shapes are learned far
    later.
    """
    flat = pictures.reshape(-1, SIDE, SIDE, 3)
    inner = SIDE * 7 // 8
    margin = (SIDE - inner) // 2
    smaller = np.full_like(flat, 255)
    for place, picture in enumerate(flat):
        shrunk = Image.fromarray(picture).resize((inner, inner), Image.Resampling.LANCZOS)
        smaller[place, margin : margin + inner, margin : margin + inner] = np.asarray(shrunk)
    return np.stack([flat, smaller]).reshape(2, *pictures.shape)


def main() -> None:
    build()
    pictures = load()
    print(f"{pictures.shape} sha256:{hashlib.sha256(pictures.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()
