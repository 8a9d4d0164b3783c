"""The built-in text-to-image model: 8 drawing styles x 120 objects, trained from scratch on open-licensed emoji.

Its judge is a panel of two. The first of them alone is a CLIP, by which benchmarks compare editors.
"""

from pathlib import Path

MODEL = Path(__file__).parent / "model"
JUDGE = Path(__file__).parent / "judge"
CLIP_JUDGE = JUDGE / "clip"
