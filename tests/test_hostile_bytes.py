"""Files that chance has harmed: the readers of policies and bundles end with a clear error of ours and no other, each
in seconds and little memory.

Half of what is read is harmed byte by byte, half value by value, so that both the parser and what follows it are met.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from expunge.engine.errors import EngineError
from expunge.engine.files.bundle import MANIFEST, VOUCHER, assemble
from expunge.engine.files.digests import file_digest
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Target
from expunge.policies import PolicyErrors, parse
from expunge.policies.reading.reader import parse_floor
from expunge.tasks.audit.bundle import look
from expunge.tasks.core.errors import ExpungeError
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.storage.external_model import given_model
from expunge.tasks.storage.pointer import Pointer
from tests.engine import tiny
from tests.tasks.audit.test_vouched import PASSED, TABLE, bundle_of, receipt_for
from tests.tasks.ledger.signatures.keys import write_key

ROOT = Path(__file__).parents[1]
SHORT = 5.0
"""Seconds of the fast tests, all of them together."""
LONG = float(os.environ.get("EXPUNGE_FUZZ_SECONDS", "600"))
ONE, BYTES = 10, 2 * 2**30
"""Seconds of the processor, and memory, that one file may take."""
UNHURRIED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
EXAMPLES = 100  # as many come of one seed
FEWEST = 10
"""So many files are given even on a machine that has no time for them."""
OURS = (ExpungeError, EngineError, PolicyErrors)

Use = Callable[[Any], object]

NUMBERS = (0, -1, 1, 0.5, 2**31, 2**63, 10**30, 1e308, -1e308, float("inf"), float("nan"))
TEXTS = ("", " ", "\x00", "\x1b[2J", "\u202e", "\ud800", "../../etc", "/", "9" * 5000, "PASS", "a" * 100_000)
VALUES = (None, True, False, [], {}, [[]], [None], {"": None}, *NUMBERS, *TEXTS, json.loads("[" * 80 + "]" * 80))
WORDS = (
    b"{",
    b"}",
    b"[",
    b"]" * 9,
    b"[" * 3000,
    b":",
    b"\n- ",
    b"&a ",
    b"*a",
    b"!!python/object:os ",
    b"<<: ",
    b"\xff",
)
WORDS += (
    b"\xef\xbb\xbf",
    b"\x00" * 8,
    b"\xff" * 8,
    b"NaN",
    b"1e999",
    b'"\\ud800"',
    b"---\n",
    b"%YAML 1.1\n",
    b"? ",
    b"| ",
)


@st.composite
def harmed(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of the samples with a few places overwritten."""
    content = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(content)))
        end = begin + draw(st.integers(0, 30))
        content[begin:end] = draw(st.one_of(st.binary(max_size=9), st.sampled_from(WORDS)))
    return bytes(content)


@st.composite
def changed(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """One of the samples with a few values in it replaced, removed or renamed."""
    whole = [copy.deepcopy(draw(st.sampled_from(samples)))]
    for _ in range(draw(st.integers(1, 3))):
        inside: Any = whole
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(inside[key], (dict, list)) and inside[key] and draw(st.integers(0, 4)):
                inside = inside[key]
                continue
            _change(draw, inside, key)
            break
    return whole[0] if whole else None


def _change(draw: st.DrawFn, inside: Any, key: Any) -> None:
    match draw(st.integers(0, 5)):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[draw(st.sampled_from(TEXTS))] = inside.pop(key)
        case 2 if isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        case _:
            inside[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def either(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """JSON or YAML that is harmed in one way or the other."""
    return st.one_of(harmed(contents), changed([yaml.safe_load(one) for one in contents]).map(as_json))


def within_limits(seconds: float, cases: st.SearchStrategy[Any], use: Use, found: Path) -> None:
    """Give `use` files for so long, in a process of limited memory; what else than an error of ours comes out is
    written to the file `found`, with the smallest case that brings it about."""
    process = multiprocessing.get_context("fork").Process(target=_limited, args=(seconds, cases, use, found))
    process.start()
    process.join(seconds + 30 * ONE)
    process.kill()
    process.join()
    assert process.exitcode == 0, found.read_text() if found.exists() else f"signal {process.exitcode}: {ONE} seconds"


def _limited(seconds: float, cases: st.SearchStrategy[Any], use: Use, found: Path) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.stdout = sys.stderr = found.open("w")
    try:
        _give(seconds, cases, use)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _give(seconds: float, cases: st.SearchStrategy[Any], use: Use) -> None:
    end, number, given_to = float("inf"), 0, 0
    while time.monotonic() < end:

        @seed(number)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=UNHURRIED)
        @given(cases)
        def once(case: Any) -> None:
            nonlocal end, given_to
            if given_to == FEWEST:  # the clock starts after what is read and made once
                end = min(end, time.monotonic() + seconds)
            if time.monotonic() > end:
                return
            given_to += 1
            signal.setitimer(signal.ITIMER_PROF, ONE)  # SIGPROF ends the process
            try:
                use(case)
            except OURS:
                pass
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        once()
        number += 1


def policy_reader(_: Path) -> tuple[st.SearchStrategy[Any], Use]:
    contents = [path.read_bytes() for path in sorted((ROOT / "policies" / "examples").glob("*.yaml"))]

    def use(content: bytes) -> None:
        str(parse(content, "harmed").digest)

    return either(contents), use


def floor_reader(_: Path) -> tuple[st.SearchStrategy[Any], Use]:
    contents = [path.read_bytes() for path in (ROOT / "policies" / "floor.yaml", ROOT / "tests" / "floor.yaml")]
    return either(contents), lambda content: parse_floor(content, "harmed")


def bundle_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Use]:
    """Whoever publishes may sign whatever he made: all but one file fits together."""
    (folder / "made").mkdir()
    private, public = write_key(folder, "publisher")
    os.environ["EXPUNGE_SIGNING_KEY"] = str(private)
    bundle, home = bundle_of(folder / "made", PASSED, TABLE)
    files = {name: (bundle / name).read_bytes() for name in ("verdict.json", "evidence.parquet", VOUCHER, MANIFEST)}

    def cases(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
        of_file = harmed([files[name]]) if name.endswith(".parquet") else either([files[name]])
        return of_file.map(lambda content: (name, content))

    def use(case: tuple[str, bytes]) -> None:
        name, content = case
        if name in (VOUCHER, MANIFEST):
            (bundle / name).write_bytes(content)
            try:
                look(bundle, [public])
            finally:
                (bundle / name).write_bytes(files[name])
            return
        shutil.rmtree(folder / "again", ignore_errors=True)
        extras: dict[str, Path | bytes] = {
            "verdict.json": files["verdict.json"],
            "evidence.parquet": files["evidence.parquet"],
        }
        digest = assemble(bundle / "model", extras | {name: content}, folder / "again")
        receipt = receipt_for(home, digest, verdict=file_digest(folder / "again" / "verdict.json"))
        (folder / "again" / VOUCHER).write_bytes(signing.envelope(home, receipt) or b"")
        shutil.rmtree(home / "receipts")
        shutil.rmtree(home / "signatures")
        look(folder / "again", [public])

    return st.one_of([cases(name) for name in files]), use


def model_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Use]:
    saved = tiny.save(folder / "base")
    names = [path.relative_to(saved) for path in sorted(saved.rglob("*")) if path.suffix in (".json", ".safetensors")]
    files = {name: (saved / name).read_bytes() for name in names}

    def cases(name: Path) -> st.SearchStrategy[tuple[Path, bytes]]:
        plain = name.suffix == ".json"
        # of weights the header alone is read
        of_file = (
            either([files[name]]) if plain else harmed([files[name][:3000]]).map(lambda head: head + files[name][3000:])
        )
        return of_file.map(lambda content: (name, content))

    def use(case: tuple[Path, bytes]) -> None:
        name, content = case
        (saved / name).write_bytes(content)
        try:
            given_model(saved)
        finally:
            (saved / name).write_bytes(files[name])

    return st.one_of([cases(name) for name in names]), use


def plan_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Use]:
    from expunge.engine.models.load import open_model
    from expunge.engine.planning.closed_form import plan

    made = plan(
        open_model(tiny.save(folder / "base")), EditSpec((Target("cat", ("cat",)),), settings={"general_words": 20})
    )
    made.save(file := folder / "deltas.safetensors")
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    record = json.loads(header["__metadata__"]["plan"])

    def with_record(value: Any) -> bytes:
        header["__metadata__"]["plan"] = json.dumps(value)
        written = json.dumps(header).encode()
        return len(written).to_bytes(8, "little") + written + content[8 + size :]

    def use(case: bytes) -> None:
        file.write_bytes(case)
        EditPlan.load(file)

    of_header = harmed([content[: 8 + size]]).map(lambda head: head + content[8 + size :])
    return st.one_of(of_header, changed([record]).map(with_record)), use


def pointer_reader(_: Path) -> tuple[st.SearchStrategy[Any], Use]:
    content = as_json({"bundle": "ab" * 32})
    return either([content]), lambda case: Pointer(case, "").bundle


READERS = (policy_reader, floor_reader, bundle_reader, model_reader, plan_reader, pointer_reader)


@pytest.mark.parametrize("reader", READERS)
def test_attack_a_file_is_harmed_by_chance(reader: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_SIGNING_KEY", raising=False)
    cases, use = reader(tmp_path)
    within_limits(SHORT / len(READERS), cases, use, tmp_path / "found")


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_attack_a_file_is_harmed_by_chance_for_minutes(
    reader: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPUNGE_SIGNING_KEY", raising=False)
    cases, use = reader(tmp_path)
    within_limits(LONG / len(READERS), cases, use, tmp_path / "found")


def test_an_error_of_another_kind_and_a_file_that_takes_too_long_are_found(tmp_path: Path) -> None:
    """The positive control."""

    def raises(_: bytes) -> None:
        raise KeyError("x")

    with pytest.raises(AssertionError, match="KeyError"):
        within_limits(1, st.binary(), raises, tmp_path / "found")
    with pytest.raises(AssertionError, match="MemoryError"):
        within_limits(1, st.binary(), lambda _: bytes(2 * BYTES), tmp_path / "found")
