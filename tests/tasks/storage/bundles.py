"""Bundles of no model, for what only carries them."""

from __future__ import annotations

import json
from pathlib import Path

from expunge.canonical_json import sha256


def make_bundle(folder: Path, weights: bytes = b"weights") -> Path:
    files = {"model_index.json": b"{}", "unet/model.safetensors": weights, "vae/model.safetensors": b"vae" + weights}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    entries = {path: {"sha256": sha256(content), "bytes": len(content)} for path, content in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"files": entries}))
    return folder
