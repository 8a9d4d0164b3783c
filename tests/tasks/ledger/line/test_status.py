"""Takedowns on one model line come one after the other; on two lines they do not wait."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.state.leases import LineBusy


def test_the_second_waits_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def take(line: str, name: str) -> None:
        with alone_on(line, tmp_path):
            seen.append(name)

    waiting = threading.Thread(target=take, args=("base-1", "second"))
    beside = threading.Thread(target=take, args=("base-2", "beside"))
    with alone_on("base-1", tmp_path):
        waiting.start()
        waiting.join(0.5)
        beside.start()
        beside.join(10)
        seen.append("first")
    waiting.join(10)
    assert seen == ["beside", "first", "second"]
    assert "other work on base-1 is under way" in capsys.readouterr().err


def test_two_names_of_one_base_wait_for_each_other(tmp_path: Path) -> None:
    with alone_on("emoji-1", tmp_path), pytest.raises(LineBusy), alone_on("model-1", tmp_path, wait=False):
        pass


def test_a_takedown_that_fails_frees_the_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), alone_on("base-1", tmp_path):
        raise RuntimeError
    with alone_on("base-1", tmp_path):
        pass
