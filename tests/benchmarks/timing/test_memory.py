"""A process that is measured tells what it held itself."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.timing.memory import peak

ASK = "from benchmarks.timing.memory import peak; print(peak())"
AS_A_CHILD = f"""
import subprocess, sys
held = bytearray(300_000_000)
held[::4096] = bytes(len(held[::4096]))
print(subprocess.check_output([sys.executable, "-c", {ASK!r}], text=True))
"""


def asked(code: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", code], text=True))


def test_what_the_process_that_started_it_had_held_does_not_count() -> None:
    assert asked(AS_A_CHILD) < 100_000_000


def test_what_it_held_and_let_go_does_count() -> None:
    assert asked(f"held = bytearray(b'x') * 300_000_000; del held; {ASK}") > 300_000_000
    assert peak() > 0
