"""Measurements as lines of a TSV file, added one by one, so that a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "measured"


class Results:
    """Rows of `columns`; those of the same `key` columns are the same measurement, and the last one counts."""

    def __init__(self, path: Path, columns: Sequence[str], key: Sequence[str]) -> None:
        self.path, self.columns, self.key = path, tuple(columns), tuple(key)
        self.rows: dict[tuple[str, ...], dict[str, str]] = {}
        if path.exists():
            with open(path, newline="", encoding="utf-8") as handle:
                self._read(csv.DictReader(handle, delimiter="\t"))

    def _read(self, lines: csv.DictReader) -> None:
        if tuple(lines.fieldnames or ()) != self.columns:
            raise ValueError(f"{self.path} has other columns than this benchmark; move it away and measure again")
        for row in lines:
            self._keep(row)

    def __contains__(self, row: Mapping[str, object]) -> bool:
        return self._key(row) in self.rows

    def add(self, row: Mapping[str, object]) -> None:
        """Write the row to the end of the file at once."""
        text = {name: _text(row.get(name, "")) for name in self.columns}
        self._keep(text)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        with open(self.path, "a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, self.columns, delimiter="\t", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow(text)

    def where(self, **wanted: object) -> list[dict[str, str]]:
        return [row for row in self.rows.values() if all(row[name] == _text(value) for name, value in wanted.items())]

    def _keep(self, row: dict[str, str]) -> None:
        key = self._key(row)
        self.rows.pop(key, None)  # so that it is the last, not where a former one was
        self.rows[key] = row

    def _key(self, row: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(_text(row[name]) for name in self.key)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
