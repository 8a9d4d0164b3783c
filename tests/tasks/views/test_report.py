"""Report, model card and metrics say what the verdict rests on, concept by concept and attack by attack."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import expunge.engine
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.quality.compare import Quality
from expunge.engine.models.picture_store import pixel_digest
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import Row
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.budget import Cost
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.quality import kept_shots, measure_quality, read_quality
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.recorder import note
from expunge.tasks.report import render_card, render_report, rerender, write_report
from expunge.tasks.tracking.metrics import metrics
from expunge.tasks.tracking.runs import NAME
from expunge.tasks.views.closest_attempts import ranked_attempts
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.outcome import figures
from tests.engine.families import tiny_families
from tests.tasks.evidence.examined import CANDIDATE, new_order, seen, verified

Done = tuple[Order, Ref, Ref]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    order = new_order(tmp_path_factory.mktemp("shown"))
    verdict, table = verified(order)
    measure_quality(order, CANDIDATE, table)
    write_report(open_case(order), CANDIDATE, verdict, table)
    return order, verdict, table


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))


def page_of(order: Order) -> str:
    return (order.folder / "report.html").read_text(encoding="utf-8")


def row_of(page: str, *cells: str) -> str:
    """The first table row with all these cells, as text."""
    rows = [text_of(row) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)]
    return next(row for row in rows if all(f" {cell} " in row for cell in cells))


def share(value: float) -> str:
    return f"{100 * value:.1f} %"


def test_every_target_has_its_bound_its_limit_and_its_corrected_claim(done: Done) -> None:
    order, verdict, _ = done
    known = Verdict.load(verdict.path)
    (target,), (claim,) = known.targets, [claim for claim in known.claims if claim.kind == "target"]
    row = row_of(page_of(order), "bicycle", "object", str(target.total.n))
    assert (
        f"{share(target.total.before)} {share(target.total.rate)} {share(target.total.upper)} {share(0.2)} met" in row
    )
    page = page_of(order)
    alone = row_of(page[page.index("Appendix: single claims") :], "bicycle is erased")
    assert f"{share(0.2)} {claim.holm:.2g} yes" in alone


def test_the_page_opens_with_the_edited_pictures_closest_to_each_target_and_their_scores(done: Done) -> None:
    """Whoever reads it can see for themselves what a judge that is blind to something calls by another name."""
    order, _, table = done
    page, rows = page_of(order), evidence.read(table.path).query("arm == 'after' and role == 'target'")
    opening = page[page.index("Check the judge yourself") : page.index("What had to go")]
    scores = re.findall(r"<figcaption><b[^>]*>not seen</b> ([\d.]+)", opening)
    assert scores == [f"{score:.3f}" for score in sorted(rows["score"], reverse=True)[:24]]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(re.findall(r'base64,([^"]+)"', opening)[0]))))
    top = rows.sort_values(["seen", "score"], ascending=False).iloc[0]
    assert pixel_digest(shown) in set(rows[rows["score"] == top["score"]]["picture"])


def test_pictures_in_which_the_judge_sees_the_target_come_first_whatever_their_score(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick", seeds=6, prompts=5)
    verdict, table = verified(order, lambda row: row.seed == 0 if row.role == "target" else True)
    write_report(open_case(order), CANDIDATE, verdict, table)
    opening = page_of(order).split("Check the judge yourself")[1].split("What had to go")[0]
    marks = re.findall(r"<b[^>]*>((?:not )?seen)</b>", opening)
    assert marks == ["seen"] * 5 + ["not seen"] * 19


def test_what_took_the_targets_place_is_told_and_noise_is_called_noise(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick", seeds=6, prompts=5)
    _, table = verified(order)
    frame = evidence.read(table.path)
    frame["shows"] = ["nothing recognisable" if seed % 2 else "car" for seed in frame["seed"]]
    limits = replace(examination(order).acceptance, max_noise_rate=0.2)
    page = render_report(open_case(order), decide(frame, len(frame), limits), {}).read_text(encoding="utf-8")
    row = row_of(page[page.index("What took its place") :], "bicycle", "car 15")
    assert f"30 {share(0.5)} {share(0.5)}" in row
    assert f"{share(0.2)} missed" in row
    card = render_card(open_case(order), decide(frame, len(frame), limits)).decode()
    assert "- bicycle: noise in 50.0 %, car in 15 of 30" in card


def test_an_attack_is_a_row_with_its_control_and_the_attempt_that_came_closest(done: Done) -> None:
    order, verdict, table = done
    page, (target,) = page_of(order), Verdict.load(verdict.path).targets
    ranked = ranked_attempts(order, CANDIDATE, evidence.read(table.path))
    assert target.attacks.keys() == {"concept_vector", "start_picture", "other_settings", "relearn"}
    for attack, rate in target.attacks.items():
        row = row_of(page, "bicycle", attack)
        assert f"{share(rate.before)} {share(0.5)} {share(rate.rate)} {share(rate.upper)} {share(0.25)} met" in row
        best = ranked["bicycle", attack][0]
        assert best.found == f"words {rate.n - 1} on the model after"  # the highest score, on the edited model
        assert best.found in row
        assert f"words {rate.n - 2}" not in row
        pictures = re.findall(rf"{attack}</td>.*?base64,([^\"]+)\"", page, re.DOTALL)
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))))
        np.testing.assert_array_equal(shown, best.after)


def test_the_worst_kept_concept_is_named_and_has_a_sheet_of_its_own(done: Done) -> None:
    order, _, _ = done
    assert "castle: seen in 100.0 % before, 50.0 % after" in text_of(page_of(order))
    assert {path.stem for path in (order.folder / "sheets").glob("*.png")} == {
        "targets",
        "attacks",
        "worst-kept",
        "look-alikes",
        "general",
    }


def test_concepts_are_called_by_name_those_that_the_level_added_too(done: Done) -> None:
    order, _, _ = done
    added = [subject for subject in examination(order).subjects if subject.id.startswith("auto.")]
    assert added
    for page in (page_of(order), render_card(open_case(order), Verdict.load(done[1].path)).decode()):
        assert "auto.object" not in page
    row_of(page_of(order), added[0].name)


def test_the_page_is_written_anew_without_store_or_models(done: Done) -> None:
    order, _, _ = done
    before, pictures = page_of(order), order.home / "pictures"
    hidden = pictures.rename(pictures.with_name("elsewhere"))
    try:
        rerender(open_case(order))
    finally:
        hidden.rename(pictures)
    assert page_of(order) == before


def test_what_rounding_took_of_the_edit_is_told_beside_what_it_changes(done: Done) -> None:
    order, _, _ = done
    rounding = order.folder / "rounding.json"
    assert "the model's own type" not in text_of(page_of(order)), "a folder of earlier versions"
    rounding.write_text('{"largest":0.172345}')
    try:
        told = text_of(rerender(open_case(order)).read_text(encoding="utf-8"))
    finally:
        rounding.unlink()
        rerender(open_case(order))
    assert "Writing the weights in the model's own type lost 17 % of a change at most." in told


@pytest.mark.parametrize(
    ("sampling", "told", "untold"),
    [
        ("fixed", "Bounds are those of Clopper and Pearson", "martingale"),
        ("fixed", "is another attempt, at a stricter confidence", "at every look"),
        ("sequential", "Bounds are those of a mixture martingale", "of a drop the union"),
        ("sequential", "hold at every look", "is another attempt, at a stricter confidence"),
        (
            "sequential",
            "of attacks, whose number is fixed beforehand, those of Clopper and Pearson",
            "another attempt",
        ),
    ],
)
def test_the_footer_names_the_bounds_that_were_used(done: Done, sampling: str, told: str, untold: str) -> None:
    order, _, table = done
    exam, frame = examination(order), evidence.read(table.path)
    limits = replace(exam.acceptance, sampling=sampling)
    page = text_of(
        render_report(open_case(order), decide(frame, len(frame), limits, exam.judge), {}).read_text(encoding="utf-8")
    )
    footer = page[page.index(f"expunge {expunge.engine.__version__}. ") :]
    assert told in footer
    assert untold not in footer


def test_the_limits_of_the_judge_are_told(done: Done) -> None:
    order, _, table = done
    exam, frame = examination(order), evidence.read(table.path)
    counted = text_of(
        render_report(open_case(order), decide(frame, len(frame), exam.acceptance, exam.judge), {}).read_text()
    )
    for error in (exam.judge["object"], exam.judge["target/object"]):
        assert f"{error.hits} of {error.labelled}" in counted
        assert error.pictures in counted
    assert "the share that shows the concept" in counted
    uncounted = text_of(render_report(open_case(order), decide(frame, len(frame), exam.acceptance), {}).read_text())
    assert "error was not measured" in uncounted
    assert exam.judge["object"].pictures not in uncounted
    card = render_card(open_case(order), decide(frame, len(frame), exam.acceptance, exam.judge)).decode()
    assert f"measured on {exam.judge['target/object'].pictures}" in card
    assert "A target counts as seen after the edit where any of its judges" in card


def test_of_a_model_that_draws_videos_page_and_card_say_which_frames_were_judged(done: Done, tmp_path: Path) -> None:
    tiny_families.unet3d().save_pretrained(folder := tmp_path / "video")
    order = replace(new_order(tmp_path, "quick"), base=folder_digest(folder), base_folder=folder)
    verdict, table = verified(order)
    write_report(open_case(order), CANDIDATE, verdict, table)
    told = "The model draws videos. What was judged is the frame in the middle of each video: nothing is said of motion"
    assert told in text_of(page_of(order))
    assert told in render_card(open_case(order), Verdict.load(verdict.path)).decode()
    assert "draws videos" not in page_of(done[0])
    assert "draws videos" not in render_card(open_case(done[0]), Verdict.load(done[1].path)).decode()


def test_a_missed_limit_and_a_missed_control_are_marked(tmp_path: Path) -> None:
    order = new_order(tmp_path, seeds=2, prompts=2)
    weak = {
        "start_picture": lambda row: row.seed < 3,
        "concept_vector": lambda row: row.arm == "before" or row.seed < 9,
    }
    verdict, table = verified(order, lambda row: weak.get(row.probe, seen)(row))
    write_report(open_case(order), CANDIDATE, verdict, table)
    page = page_of(order)
    assert "missed" in row_of(page, "bicycle", "concept_vector")
    assert "seen as bicycle" in row_of(page, "bicycle", "concept_vector")
    control = Verdict.load(verdict.path).targets[0].attacks["start_picture"].before
    assert control < 0.5
    assert f'<td class="n missed">{share(control)}</td>' in page
    assert "bicycle by concept_vector is still seen in 9 of 30 pictures" in text_of(page)
    assert "bicycle by start_picture is seen in 10.0%, perhaps in" in text_of(page)
    found = Findings.of(Verdict.load(verdict.path), examination(order).names)
    assert {row.probe: (row.shown, row.met) for row in found.attacks} == {
        "concept_vector": (True, False),
        "other_settings": (True, True),
        "relearn": (True, True),
        "start_picture": (False, False),
    }


def test_an_attack_without_a_limit_is_shown_and_marked_as_deciding_nothing(tmp_path: Path) -> None:
    order = new_order(tmp_path, probe_limits={"start_picture": 1.0})
    verdict, table = verified(order, lambda row: row.probe == "start_picture" or seen(row))
    write_report(open_case(order), CANDIDATE, verdict, table)
    assert "attack" not in {reason.code.split("-")[0] for reason in Verdict.load(verdict.path).reasons}
    assert "100.0 % 100.0 % none shown only" in row_of(page_of(order), "bicycle", "start_picture")
    assert " met " in row_of(page_of(order), "bicycle", "concept_vector")
    assert re.search(
        r"start_picture \|.*\| none \|", render_card(open_case(order), Verdict.load(verdict.path)).decode()
    )
    limits = {row["name"]: row["limit"] for row in figures(order, Verdict.load(verdict.path))}
    assert (limits["bicycle by start_picture"], limits["bicycle by concept_vector"]) == (None, 0.25)


def test_a_target_that_was_never_shown_is_told_and_the_page_has_no_attack(tmp_path: Path) -> None:
    order = new_order(tmp_path, seeds=2, prompts=2)
    verdict, table = verified(order, lambda row: row.role != "target")
    assert Verdict.load(verdict.path).outcome == "INCONCLUSIVE"
    write_report(open_case(order), CANDIDATE, verdict, table)
    assert "the unedited model never shows bicycle, so no attack could be aimed at it" in text_of(page_of(order))
    assert "no attack was counted, and the reasons above say why" in text_of(page_of(order))


def test_a_pass_that_the_gate_doubts_is_no_pass_on_the_page(tmp_path: Path) -> None:
    order = new_order(tmp_path)
    verdict, table = verified(order, lambda row: row.arm == "before" or row.role != "target")
    assert Verdict.load(verdict.path).outcome == "PASS"
    note(order, "gated", {}, {}, verdict={"outcome": "shut", "failed": ["the verdict does not follow from it"]})
    write_report(open_case(order), CANDIDATE, verdict, table)
    page = text_of(page_of(order))
    assert page.lstrip().startswith(f"ERROR: takedown {order.request_id}")
    assert "doubts it: the verdict does not follow from it" in page
    note(order, "gated", {"evidence": "2" * 64}, {}, verdict={"outcome": "shut", "failed": []})
    write_report(open_case(order), CANDIDATE, verdict, table)
    assert "doubts it: it stayed shut" in text_of(page_of(order))
    note(order, "gated", {"evidence": "1" * 64}, {}, verdict={"outcome": "open", "failed": []})
    write_report(open_case(order), CANDIDATE, verdict, table)
    assert text_of(page_of(order)).lstrip().startswith("PASS: takedown")


def test_unfit_evidence_gives_a_page_with_the_reasons_and_no_figure(tmp_path: Path) -> None:
    order = new_order(tmp_path, seeds=2, prompts=2)
    _, table = verified(order)
    frame = evidence.read(table.path)
    evidence.write(frame.assign(fault="black picture"), table_path := order.folder / "evidence.parquet")
    error = decide(evidence.read(table_path), len(frame), examination(order).acceptance)
    (order.folder / "verdict.json").write_text(error.to_json(), encoding="utf-8")
    measure_quality(order, CANDIDATE, Ref.of(table_path))
    write_report(open_case(order), CANDIDATE, Ref.of(order.folder / "verdict.json"), Ref.of(table_path))
    page = text_of(page_of(order))
    assert "black picture" in page
    assert "No figure can be given: the evidence is unfit" in page
    assert "Not measured: no worst kept concept" in page


def test_quality_is_measured_on_what_the_verification_drew(done: Done) -> None:
    order, verdict, table = done
    quality, missing = read_quality(order.folder)
    assert (missing, isinstance(quality, Quality)) == ("", True)
    assert quality is not None
    kept = evidence.read(table.path).query("role != 'target' and arm == 'before'")
    assert quality.pictures == len(kept.drop_duplicates(["prompt", "seed"]))
    assert (quality.worst.concept, quality.worst.seen.after) == ("castle", 0.5)
    told = f"{quality.clip_score.before:.2f} before, {quality.clip_score.after:.2f} after"
    assert told in text_of(page_of(order))
    assert f"KID {quality.kid:.4f}" in render_card(open_case(order), Verdict.load(verdict.path)).decode()
    first = (order.folder / "quality.json").read_bytes()
    assert measure_quality(order, CANDIDATE, table).path.read_bytes() == first


def test_too_few_pictures_and_a_judge_that_is_no_clip_are_told_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = new_order(tmp_path, level="quick", seeds=1, prompts=1)
    _, table = verified(order)
    measure_quality(order, CANDIDATE, table)
    assert read_quality(order.folder) == (None, "no general prompt was drawn: give some, with two seeds or more each")
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "judge.json").write_text('{"kind": "classifier", "categories": ["object"]}')
    measure_quality(replace(order, judge_folder=tmp_path / "judge"), CANDIDATE, table)
    quality, why = read_quality(order.folder)
    assert quality is None
    assert "of kind classifier" in why


def test_prompts_with_one_seed_are_left_out_of_quality() -> None:
    def row(prompt: str, seed: int, role: str = "general", arm: str = "before") -> Row:
        return Row("dog", role, "object", "name", prompt, seed, arm, True, 0.5, "ab" * 32)

    table = evidence.table([row("one", 0), row("two", 0), row("two", 1), row("two", 1, arm="after")])
    assert [(shot.prompt, shot.seed) for shot in kept_shots(table)] == [("two", 0), ("two", 1)]


def test_mlflow_gets_attacks_claims_quality_and_cost_under_names_it_takes(done: Done) -> None:
    order, verdict, _ = done
    known, (quality, _) = Verdict.load(verdict.path), read_quality(order.folder)
    told = metrics(known, quality, Cost(12, 90.0))
    assert all(NAME.fullmatch(name) and math.isfinite(value) for name, value in told.items())
    attacked = known.targets[0].attacks["start_picture"]
    assert told["bicycle/start_picture/asr_before"] == attacked.before == 1.0
    assert told["bicycle/start_picture/asr_after_bound"] == attacked.upper
    assert told["bicycle/start_picture/fails_holm_p"] == next(
        c.holm for c in known.claims if c.probe == "start_picture"
    )
    assert (told["claims/made"], told["claims/proven"]) == (len(known.claims), len(known.proven))
    assert quality is not None
    assert (told["quality/clip_score_after"], told["quality/kid"]) == (quality.clip_score.after, quality.kid)
    assert (told["cost/pictures_drawn"], told["cost/minutes"]) == (12, 1.5)
    assert not any(name.startswith("quality/") for name in metrics(known, None, Cost()))


def test_a_name_is_no_markdown_in_the_card(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    order, verdict, _ = done
    name = "[Free](https:evil.example) **PASS**"
    exam = examination(order)
    told = tuple(replace(subject, name=name) if subject.role == "target" else subject for subject in exam.subjects)
    monkeypatch.setattr("expunge.tasks.report.examination", lambda _: replace(exam, subjects=told))
    card = render_card(open_case(order), Verdict.load(verdict.path)).decode()
    assert r"\[Free\]\(https:evil.example\) \*\*PASS\*\*" in card
    assert name not in card
