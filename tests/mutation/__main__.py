"""`python -m tests.mutation [MODULE ...]`: change each deciding module a little, and see that its tests notice.

Fails where a module's tests notice less than nine of ten mistakes, or one survives without a reason in `survivors.md`.
Those that its first part lists are no mistakes: the program does the same.
What was found is in `results.json`, with the digest of the module and of its tests; what is there already, and of the
same files, is not done again.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from expunge.deployments.ports import Wish, choose
from expunge.engine.files.digests import file_digest, json_digest
from expunge.tasks.core.settings import SILENCE
from tests.conftest import STACK, run_stack
from tests.mutation.mutants import Mutant, sample
from tests.mutation.table import MODULES
from tests.mutation.trial import passes, preload

FOLDER = Path(__file__).parent
RESULTS, SURVIVORS = FOLDER / "results.json", FOLDER / "survivors.md"
COUNT, SEED, SHARE = 20, 40, 0.9
SLACK = 20.0  # seconds that a mutant may take longer than three times what the tests take


def main(wanted: list[str]) -> int:
    """Try the modules, all if none is named; returns the exit code."""
    modules = {module: tests for module, tests in MODULES.items() if not wanted or module in wanted}
    if unknown := set(wanted) - modules.keys():
        print(f"{', '.join(unknown)} is not in tests/mutation/table.py", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update({**SILENCE, "PREFECT_HOME": scratch})
        preload({test for tests in modules.values() for test in tests}, Path(scratch))
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        home = Path(scratch, "home")
        ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])
        assert run_stack("up", home, **{name: str(port) for name, port in ports.items()}).returncode == 0
        os.environ[STACK] = str(home)
        try:
            for module, tests in modules.items():
                inputs = _inputs(module, tests)
                if results.get(module, {}).get("inputs") != inputs:
                    results[module] = {"inputs": inputs, **_tried(module, tests)}
                    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        finally:
            run_stack("down", home)
    return _say({module: results[module] for module in modules})


def _inputs(module: str, tests: tuple[str, ...]) -> str:
    return json_digest({name: file_digest(Path(name)) for name in (module, *tests)})


def _tried(module: str, tests: tuple[str, ...]) -> dict[str, Any]:
    sound, seconds = passes(tests)
    if not sound:
        raise SystemExit(f"the tests of {module} do not pass as it stands: {' '.join(tests)}")
    mutants = sample(Path(module), COUNT, SEED)
    survivors = [one for one in mutants if passes(tests, module, one.source, 3 * seconds + SLACK)[0]]
    print(f"{module}: {len(mutants) - len(survivors)} of {len(mutants)} killed", flush=True)
    for one in survivors:
        print(f"  survived, line {one.line}, {one.operator}: {one.name}", flush=True)
    return {"tried": len(mutants), "survivors": [_told(one) for one in survivors]}


def _told(one: Mutant) -> dict[str, Any]:
    return {"line": one.line, "operator": one.operator, "mutant": one.name}


def _say(results: dict[str, Any]) -> int:
    explained, bad = SURVIVORS.read_text(encoding="utf-8"), 0
    same, _, _ = explained.partition("## What no test notices")
    for module, found in results.items():
        survivors = [one["mutant"] for one in found["survivors"]]
        unexplained = [mutant for mutant in survivors if f"`{mutant}`" not in explained]
        killed, mistakes = (
            found["tried"] - len(survivors),
            found["tried"] - sum(f"`{one}`" in same for one in survivors),
        )
        fails = killed < SHARE * mistakes or unexplained
        bad += bool(fails)
        print(f"{'FAIL' if fails else 'ok':<5}{module:<40}{killed} of {mistakes} mistakes noticed")
        for mutant in unexplained:
            print(f"     not explained in {SURVIVORS.name}: {mutant}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
