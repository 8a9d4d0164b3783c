"""Arms are measured on the real built-in model, on few pictures, once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.common.arms import RETRAINED, UNEDITED, Arm, with_settings
from benchmarks.common.concepts import Case
from benchmarks.compare import Bench, arguments, results
from expunge.engine.emoji import MODEL
from expunge.engine.errors import SettingError

CASE = Case("trial", 0, ("cherry",))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("pictures"))


def test_an_edit_changes_pictures_and_what_is_measured_is_not_measured_again(bench: Bench, tmp_path: Path):
    arms = [
        Arm(UNEDITED, UNEDITED),
        Arm("uce", "uce"),
        Arm(RETRAINED, RETRAINED, {"folder": MODEL}),
        Arm("hopeless", "speed", {"threshold": 1e-12, "general_words": 300, "general": 1.0}),
    ]
    found = results(tmp_path / "compare.tsv")
    bench.run(arms, [CASE], 2, found)
    plain, edited, same, refused = found.where()
    assert (plain["distance"], same["distance"]) == ("0", "0"), "the same model draws the same pictures"
    assert float(edited["distance"]) > 0
    assert float(edited["change"]) > 0
    assert all(0 <= float(edited[name]) <= 1 for name in ("target", "look_alike", "other", "style", "h_o"))
    assert "no direction free" in refused["problem"]
    assert refused["h_o"] == ""
    lines = found.path.read_text(encoding="utf-8")
    bench.run(arms, [CASE], 2, results(found.path))
    assert found.path.read_text(encoding="utf-8") == lines


def test_settings_are_recorded_with_their_defaults_and_checked():
    assert '"lamb":0.5' in Arm("uce", "uce", {"erase_scale": 2.0}).recorded(CASE)
    assert '"max_drift"' in Arm("auto", "auto").recorded(CASE)
    assert '"iterations"' in Arm("esd", "esd").recorded(CASE)
    with pytest.raises(SettingError, match="no setting 'speed'"):
        Arm("esd", "esd", {"speed": 1}).recorded(CASE)


def test_settings_given_by_name_are_of_their_own_type_and_name_the_arm():
    arm = with_settings("rece", ["rounds=1", "regular_scale=1e-3", 'tokens="all"'])
    assert arm == Arm(
        "rece, rounds 1, regular_scale 0.001, tokens all",
        "rece",
        {"rounds": 1, "regular_scale": 0.001, "tokens": "all"},
    )


def test_settings_are_not_chosen_on_the_prompts_that_are_to_be_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["compare", "--unseen", "--tune"])
    with pytest.raises(SystemExit):
        arguments()
    monkeypatch.setattr("sys.argv", ["compare", "--unseen", "--tuned"])
    assert arguments().unseen


def test_what_a_model_never_saw_is_told_by_names_of_the_catalogue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["compare", "--retrained", "folder", "--without", "taxi", "flat"])
    assert arguments().without == ["taxi", "flat"]
    monkeypatch.setattr("sys.argv", ["compare", "--retrained", "folder", "--without", "taxy"])
    with pytest.raises(SystemExit):
        arguments()
    assert "--without: invalid choice: 'taxy'" in capsys.readouterr().err
