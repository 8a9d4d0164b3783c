"""The built-in text-to-image model: 8 drawing styles x 120 objects, trained from scratch on open-licensed emoji."""

from pathlib import Path

MODEL = Path(__file__).parent / "model"
JUDGE = Path(__file__).parent / "judge"
