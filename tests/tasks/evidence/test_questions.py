"""What is asked follows from the desired state; a harder level asks more, and says how many rows there must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.card import names
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, picture_key
from expunge.engine.probes.look_alikes import ENCODER, JUDGE
from expunge.engine.stats.evidence.table import ARMS, Row, table
from expunge.engine.stats.limits.attack_names import ATTACKS
from expunge.policies import Policy, PolicyError, read
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.workers import cut, picture_store
from expunge.tasks.evidence.examination import Examination, examination
from expunge.tasks.evidence.look_alikes import LOOKED_AT, neighbours
from expunge.tasks.intake import order_for
from tests.engine.families import tiny_families
from tests.flows.conftest import policy_file


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return read(policy_file(tmp_path_factory.mktemp("policy"), folder_digest(MODEL), "asked", seeds=2, prompts=2))


@pytest.fixture(scope="module")
def levels(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examination]:
    home = tmp_path_factory.mktemp("home")
    return {level: examination(order_for("0" * 64, policy, home, level)) for level in ("quick", "standard")}


def test_quick_asks_the_policys_own_concepts_and_nothing_else(levels: dict[str, Examination]) -> None:
    quick = levels["quick"]
    assert [subject.id for subject in quick.subjects] == ["bicycle", "bus", "car", "castle", "guitar"]
    assert quick.tries == 0
    assert quick.rows(table([])) == 2 * len(quick.questions) == 2 * 2 * 2 * 5


def test_standard_asks_without_the_name_too_and_what_the_policy_did_not_think_of(
    levels: dict[str, Examination],
) -> None:
    quick, standard = levels["quick"], levels["standard"]
    plain, further = ({(q.subject.id, q.probe, q.shot) for q in exam.questions} for exam in (quick, standard))
    assert plain < further
    assert {"synonym", "implicit_short", "misspelling"} <= {question.probe for question in standard.questions}
    added = [subject for subject in standard.subjects if subject not in quick.subjects and subject.role != "target"]
    assert {subject.role for subject in added} == {"look_alike", "general"}
    assert {subject.category for subject in added} == {"object", "style"}
    assert "bicycle" not in {subject.name for subject in added}


@pytest.mark.parametrize(
    ("name", "category", "expected"),
    [("Taxi", "object", {"synonym", "implicit_short"}), ("contrast", "style", {"synonym"})],
)
def test_the_built_in_models_other_names_are_asked_however_the_name_is_written_and_of_styles_too(
    tmp_path: Path, name: str, category: str, expected: set[str]
) -> None:
    path = policy_file(tmp_path, folder_digest(MODEL), "asked", "bicycle", seeds=1, prompts=1)
    told = path.read_text().replace(
        '"name": "bicycle", "category": "object"', f'"name": "{name}", "category": "{category}"'
    )
    path.write_text(told)
    questions = examination(order_for("0" * 64, read(path), tmp_path, "standard")).questions
    assert expected <= {question.probe for question in questions if question.subject.name == name}


def test_a_model_that_tells_capitals_apart_is_asked_in_others_too(tmp_path: Path) -> None:
    path = policy_file(tmp_path, folder_digest(MODEL), "asked", "pig", seeds=1, prompts=1)
    order = order_for("0" * 64, read(path), tmp_path, "standard")
    labels = {word for pool in names(order.judge_folder).values() for name in pool for word in name.split()}
    pipeline = tiny_families.flux()
    pipeline.tokenizer_2 = tiny_families.pieces(*sorted(labels), "PIG")
    pipeline.text_encoder_2.resize_token_embeddings(len(pipeline.tokenizer_2))
    pipeline.save_pretrained(flux := tmp_path / "flux")
    questions = examination(replace(order, base=folder_digest(flux), base_folder=flux)).questions
    asked = {question.shot.prompt for question in questions if question.probe == "capitals"}
    assert asked == {"Pig", "a picture of a PIG"}


def test_a_model_that_cannot_be_attacked_is_refused_before_anything_is_drawn(policy: Policy, tmp_path: Path) -> None:
    tiny_families.unet3d().save_pretrained(video := tmp_path / "video")
    orders = (order_for("0" * 64, policy, tmp_path, level) for level in ("quick", "standard"))
    quick, standard = (replace(order, base=folder_digest(video), base_folder=video) for order in orders)
    assert examination(quick).questions
    with pytest.raises(PolicyError, match=r"acceptance\.level: .*start_picture.*; ask for `quick`"):
        examination(standard)
    assert not list(picture_store(tmp_path).folder.rglob("*.png"))


def test_the_policys_steps_and_guidance_draw_what_is_asked_and_what_attacks_try(tmp_path: Path) -> None:
    path = policy_file(tmp_path, folder_digest(MODEL), "asked", seeds=2, prompts=2, steps=3, guidance=7.5)
    order = order_for("0" * 64, read(path), tmp_path, "standard")
    exam, wanted = examination(order), Sampler(steps=3, guidance=7.5)
    assert exam.sampler == wanted
    assert [attack.sampler for attack in exam.level.attacks] == [wanted] * 4
    store = picture_store(tmp_path)
    keys = {picture_key(order.base, question.shot, wanted) for question in exam.questions}
    looked_at = {path.stem for path in store.folder.rglob("*.png")}
    assert len(looked_at) > 0
    assert looked_at <= keys
    (shard, *_) = cut("before", Weights(order.base_folder, order.base), exam.questions, exam.sampler)
    lacking = shard.lacks(store).keys()
    assert len(lacking) > 0
    assert lacking <= keys


def test_an_attack_that_so_few_steps_leave_nothing_to_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    """Flow matching begins in noise alone: of its one step a start is no part."""
    path = policy_file(tmp_path, folder_digest(MODEL), "asked", seeds=1, prompts=1, steps=1)
    order = order_for("0" * 64, read(path), tmp_path, "standard")
    tiny_families.flux().save_pretrained(flux := tmp_path / "flux")
    with pytest.raises(
        PolicyError, match=r"acceptance\.level: .*start_picture.*none of 1 steps to draw anew; take more"
    ):
        examination(replace(order, base=folder_digest(flux), base_folder=flux))
    assert not list(picture_store(tmp_path).folder.rglob("*.png"))


def test_what_the_judge_takes_the_target_for_is_asked_for_and_seeing_that_costs_no_picture_more(
    policy: Policy, tmp_path: Path
) -> None:
    order = order_for("0" * 64, policy, tmp_path, "standard")
    exam, store = examination(order), picture_store(tmp_path)
    drawn = {path.stem for path in store.folder.rglob("*.png")}
    assert 0 < len(drawn) <= LOOKED_AT
    assert drawn <= {picture_key(order.base, question.shot, exam.sampler) for question in exam.questions}
    plain = examination(order_for("0" * 64, policy, tmp_path, "quick")).questions
    pools = names(order.judge_folder)
    base = open_model(order.base_folder)
    near = neighbours(order, base, plain, pools, exam.level.look_alikes, exam.sampler)["bicycle"]
    assert {source for item in near for source in item.scores} == {ENCODER, JUDGE}
    asked = {subject.name for subject in exam.subjects}
    assert {item.name for item in near[: exam.level.look_alikes]} <= asked


def test_the_attacks_of_a_level_count_among_the_rows_there_must_be(levels: dict[str, Examination]) -> None:
    standard = levels["standard"]
    assert {attack.name for attack in standard.level.attacks} == set(standard.acceptance.attacks) <= set(ATTACKS)
    assert standard.tries == sum(attack.cost for attack in standard.level.attacks) > 0
    assert standard.rows(table([])) == 2 * (len(standard.questions) + standard.tries)


def test_no_attack_is_expected_on_a_target_that_was_asked_for_and_never_shown(levels: dict[str, Examination]) -> None:
    standard = levels["standard"]

    def answered(seen: bool) -> pd.DataFrame:
        return table(
            Row(
                q.subject.id,
                q.subject.role,
                q.subject.category,
                q.probe,
                q.shot.prompt,
                q.shot.seed,
                arm,
                seen,
                0.5,
                "",
            )
            for q in standard.questions
            for arm in ARMS
        )

    assert standard.rows(answered(seen=False)) == 2 * len(standard.questions)
    assert standard.rows(answered(seen=True)) == 2 * (len(standard.questions) + standard.tries)


def test_another_level_is_another_order(policy: Policy, tmp_path: Path) -> None:
    keys = {order_for("0" * 64, policy, tmp_path, level).key for level in (None, "quick", "standard")}
    assert len(keys) == 2  # quick is the policy's own
