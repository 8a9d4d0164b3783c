"""No sign in any text leads a terminal, and too little memory is told as that."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.engine.errors import ModelFormatError, is_out_of_memory
from expunge.flows.terminal import Console, Plain, plain
from expunge.tasks.core.errors import exit_code_of
from expunge.tasks.ledger.recorder import note
from tests.flows.conftest import run_process
from tests.tasks.records import Work

HARM = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202ereversed\u2066\x00\x7f\r"


def harmless(text: str) -> bool:
    return all(sign.isprintable() or sign in "\n\t" for sign in text)


def test_attack_a_receipt_leads_the_terminal_of_whoever_asks_for_the_status(tmp_path: Path) -> None:
    """In a process of its own, on stdout and on stderr, as text, as JSON and in errors."""
    note(Work(tmp_path, request_id=HARM), "read", {"policy": "0" * 64}, {})
    home = {"EXPUNGE_HOME": str(tmp_path), "COLUMNS": "300"}
    told = run_process("status", **home)
    assert harmless(told.out + told.err), told.out + told.err
    assert "a\\u001b[2J\\u001b]0;title\\u009b31m\\u202ereversed" in told.out
    as_json = run_process("status", "--json", **home)
    assert harmless(as_json.out)
    assert json.loads(as_json.out)["requests"][0]["request_id"] == HARM, "JSON stays JSON, and says the same"
    (tmp_path / "receipts" / "emoji-0" / HARM.replace("\x00", "").replace("/", "")).write_text("x")
    for words in (("audit",), ("validate", HARM.replace("\x00", ""))):
        found = run_process(*words, **home)
        assert found.code not in (0, 1)
        assert harmless(found.out + found.err)


def test_attack_a_library_or_a_traceback_says_it() -> None:
    raw = io.StringIO()
    stream = Plain(raw)
    print(HARM, file=stream)
    stream.writelines([HARM, "\r 10 % of a bar"])
    console = Console(file=stream, force_terminal=True, width=300)  # type: ignore[arg-type]
    console.print(f"[bold red]{HARM}[/]")
    try:
        raise ValueError(HARM)
    except ValueError:
        console.print_exception()
    coloured = raw.getvalue()
    assert "\x1b[1;31m" in coloured, "the console's own colours are let through"
    assert "\x1b[2J" not in coloured
    assert not {"\x07", "\x9b", "\u202e", "\x00", "\x7f"} & set(coloured)
    assert "\r 10 % of a bar" in coloured
    assert plain("ä漢字 \t\n👩‍💻") == "ä漢字 \t\n👩‍💻", "what people write stays"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_told_by_its_exit_code_wherever_it_shows(error: Exception) -> None:
    outer = RuntimeError("Failed to import transformers.models.clip because of the following error")
    outer.__cause__ = error
    assert exit_code_of(error) == exit_code_of(outer) == 8
    assert not is_out_of_memory(ModelFormatError("it is none"))
    assert exit_code_of(RuntimeError("another")) == 1


def test_a_library_that_finds_no_memory_while_it_is_imported_ends_with_8(tmp_path: Path) -> None:
    """With room for the command and its own packages, and none for torch."""
    script = """
import resource, sys
import expunge.flows.cli as cli
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.argv = ["expunge", "apply", sys.argv[1], "--to", "builtin:emoji", "--out", sys.argv[1] + ".out"]
cli.main()
"""
    (delta := tmp_path / "delta").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", script, str(delta)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 8, done.stdout + done.stderr
