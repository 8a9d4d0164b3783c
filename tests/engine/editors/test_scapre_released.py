"""The batched form of ScaPre's released scripts equals their mathematics written out row by row, option by option."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.common import concepts, measure
from expunge.engine.editors import ConceptEmbeddings, Moments, editor_named, scapre_released, settings_for
from expunge.engine.editors.base import Tokens
from expunge.engine.editors.released.rows import COPIES, lower_median, mutual_information, noise, soft_masks
from expunge.engine.editors.scapre_released import LARGEST, OWN, PUBLISHED, ReleasedSettings
from expunge.engine.emoji import MODEL
from expunge.engine.errors import EditError, SettingError
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import gather
from expunge.engine.plans.edit_plan import relative_changes
from expunge.engine.spec import EditSpec, Target
from expunge.engine.text.encoding import encode
from tests.engine import tiny
from tests.engine.draws import draw

D, M, READ = 12, 3, 6
EPS = 1e-8
TEXTS, ANCHOR, EMPTY = draw(M, READ, D, seed=1), draw(READ, D, seed=2), draw(READ, D, seed=3)
LAST = (1, 3, 2)
WEIGHTS = {"to_k": draw(9, D, seed=4), "to_v": draw(7, D, seed=5)}
KINDS = {"to_k": "key", "to_v": "value"}
X = [TEXTS[k, LAST[k] :] for k in range(M)]
Y = [ANCHOR[: READ - LAST[k]] for k in range(M)]
SUBJECTS = torch.stack([TEXTS[k, LAST[k]] for k in range(M)])
NOTHING = Moments.zero(D)
CONCEPTS = ConceptEmbeddings(
    targets=Moments.of(torch.cat(X), torch.cat(Y)),
    retain=NOTHING,
    general=NOTHING,
    subjects=SUBJECTS,
    neutral=ANCHOR[:1].expand(M, D),
    concept=torch.arange(M),
    lookalikes=SUBJECTS[:0],
    empty=EMPTY,
    tokens=Tokens(
        x=torch.cat(X),
        wording=torch.cat([torch.full((len(X[k]),), k) for k in range(M)]),
        anchors=ANCHOR,
        partner=torch.cat([torch.arange(len(X[k])) for k in range(M)]),
    ),
)


def planned(concepts: ConceptEmbeddings = CONCEPTS, **settings) -> dict[str, Tensor]:
    chosen = editor_named("scapre-released")
    return chosen.plan(WEIGHTS, KINDS, concepts, settings_for(chosen, {"precision": "float64", **settings}))


# The scripts' mathematics, one row, one concept, one token at a time


def entropy(row: Tensor, s: ReleasedSettings) -> float:
    drawn = noise("entropy", s.seed, (M, s.entropy_samples, D), row)
    acts = [row @ (SUBJECTS[k] + s.noise * drawn[k, j]) for k in range(M) for j in range(s.entropy_samples)]
    low, high = min(acts), max(acts)
    scaled = torch.stack([(act - low) / (high - low + EPS) for act in acts])
    counts = torch.histc(scaled, bins=s.entropy_bins, min=0.0, max=1.0)
    total = 0.0
    for count in counts.tolist():
        share = count / (len(acts) + EPS)
        total -= share * math.log(share + EPS)
    return total / math.log(s.entropy_bins)


def information(row: Tensor, k: int, drawn: Tensor, s: ReleasedSettings) -> float:
    told = [(row @ (SUBJECTS[k] + s.noise * drawn[0, k, j])).item() for j in range(COPIES)]
    others = [(row @ (EMPTY[1] + s.noise * drawn[1, k, j])).item() for j in range(COPIES)]
    threshold = sorted(told + others)[COPIES - 1]  # the lower of the two in the middle
    table = {(z, y): EPS for z in (0, 1) for y in (0, 1)}
    for y, acts in ((1, told), (0, others)):
        for act in acts:
            table[int(act > threshold), y] += 1
    joint = {key: count / (2 * COPIES) for key, count in table.items()}
    total = 0.0
    for (z, y), p in joint.items():
        total += p * math.log(p / ((joint[z, 0] + joint[z, 1]) * (joint[0, y] + joint[1, y])))
    return total


def masks(weight: Tensor, use: str, s: ReleasedSettings) -> Tensor:
    """m [rows, concepts]."""
    drawn = noise(use, s.seed, (2, M, COPIES, D), weight)
    found = torch.zeros(len(weight), M, dtype=torch.float64)
    for k in range(M):
        told = torch.tensor([information(row, k, drawn, s) for row in weight], dtype=torch.float64)
        for i in range(len(weight)):
            z = (told[i] - told.mean()) / (told.std() + EPS)
            found[i, k] = (1 / (1 + torch.exp(-z / 0.7))) ** s.exponent
    return found


def gates(s: ReleasedSettings) -> tuple[Tensor, Tensor]:
    directions, sizes, _ = torch.linalg.svd(SUBJECTS.T, full_matrices=False)
    middle = sorted(sizes.tolist())[(len(sizes) - 1) // 2]
    return directions, (1 / (1 + torch.exp(-(sizes - middle) / (s.temperature + EPS)))) ** s.gate


def spread(s: ReleasedSettings) -> Tensor:
    total = SUBJECTS.T @ SUBJECTS
    for rows in X:
        for x in rows:
            total = total + s.erase_scale * torch.outer(x, x)
    return total


def wanted(row: Tensor, mask: Tensor, s: ReleasedSettings) -> Tensor:
    total = torch.zeros(D, dtype=torch.float64)
    for k in range(M):
        for x, y in zip(X[k], Y[k], strict=True):
            total = total + s.erase_scale * mask[k] * (row @ y) * x
    return total


def erase_scale(weight: Tensor, s: ReleasedSettings) -> Tensor:
    identity = torch.eye(D, dtype=torch.float64)
    c = SUBJECTS.T
    projector = c @ torch.linalg.inv(c.T @ c + EPS * torch.eye(M, dtype=torch.float64)) @ c.T
    mu = sum(min(max(entropy(row, s), 0.0), 1.0) for row in weight) / len(weight)
    directions, gate = gates(s)
    r = directions @ torch.diag(mu * (1 - gate)) @ directions.T if s.spectral else 0 * identity
    ones = torch.ones(len(weight), M, dtype=torch.float64)
    own, largest = (masks(weight, use, s) if s.mask else ones for use in (OWN, LARGEST))
    pull, done = s.lamb + mu, []
    for i, w0 in enumerate(weight):
        system = pull * identity + r + spread(s) + s.erase_scale * max(largest[i]) * projector
        a = torch.linalg.solve(system, pull * w0 + wanted(w0, own[i], s))
        length, u, u0 = a.norm(), a / a.norm(), w0 / w0.norm()
        for _ in range(s.steps):
            k = max((u @ u0).item(), 0.0)
            length = (pull * a.norm() + mu * w0.norm() * k) / (pull + mu)
            u = pull * a + mu * w0.norm() * k * u0
            u = u / u.norm()
        done.append(length * u)
    return torch.stack(done)


def erase(weight: Tensor, s: ReleasedSettings) -> Tensor:
    identity = torch.eye(D, dtype=torch.float64)
    own, done = masks(weight, OWN, s), []
    directions, gate = gates(s)
    left = identity - directions @ torch.diag(gate) @ directions.T
    for i, w0 in enumerate(weight):
        right = s.lamb * w0 + wanted(w0, own[i], s)
        if s.residual:
            for c in SUBJECTS:
                right = right - (s.residual_scale or s.erase_scale) * (w0 @ left @ c) * (left @ c)
        row = torch.linalg.solve(s.lamb * identity + spread(s), right)
        share = s.least_edit + (1 - s.least_edit) * (1 - entropy(w0, s))
        done.append(share * row + (1 - share) * w0)
    return torch.stack(done)


def error(deltas: dict[str, Tensor], **settings) -> float:
    """The largest relative distance from the transcription."""
    s = ReleasedSettings(**settings)
    script = erase if s.script == "erase" else erase_scale
    rows = {name: script(weight, s) for name, weight in WEIGHTS.items()}
    return max(((WEIGHTS[n] + deltas[n] - rows[n]).norm() / rows[n].norm()).item() for n in rows)


LOUD = {"noise": 1.0}  # so that masks and entropies differ from row to row
CASES = {
    **{name: {**LOUD, **settings} for name, settings in PUBLISHED.items()},
    "as published": {},
    "two steps": {**LOUD, "steps": 2},
    "all options": {**LOUD, "lamb": 0.1, "temperature": 0.3, "gate": 2.0, "entropy_bins": 7, "seed": 3},
    "residual scale": {**LOUD, **PUBLISHED["residual"], "least_edit": 0.3, "residual_scale": 0.2, "temperature": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_it_equals_its_mathematics_row_by_row(case: str, monkeypatch: pytest.MonkeyPatch):
    settings = CASES[case]
    deltas = planned(**settings)
    assert error(deltas, **settings) < 1e-9
    monkeypatch.setattr(scapre_released, "CONCEPTS", 2)  # the blocks it is summed in do not matter
    assert error(planned(**settings), **settings) < 1e-9


@pytest.mark.parametrize("case", ["large scale", "imagenette"])
def test_another_draw_is_another_plan(case: str):
    settings = CASES[case]
    assert error(planned(**settings, seed=1), **settings) > 1e-3
    assert all(torch.equal(planned(**settings)[n], planned(**settings)[n]) for n in WEIGHTS)


def test_without_mask_only_the_mean_entropy_is_drawn():
    settings = {**LOUD, "mask": False, "lamb": 1e-3}
    few, many = (planned(**settings, entropy_samples=n) for n in (2, 400))
    assert max((few[n] - many[n]).norm() / many[n].norm() for n in WEIGHTS) > 1e-4


OPTIONS = {
    "erase_scale": (
        "large scale",
        {"erase_scale": 3.0, "lamb": 1.0, "mask": False, "exponent": 5.0, "noise": 0.5, "entropy_samples": 5},
        {"entropy_bins": 5, "spectral": False, "temperature": 9.0, "gate": 3.0, "steps": 2, "seed": 1},
    ),
    "erase": (
        "imagenette",
        {"erase_scale": 3.0, "lamb": 1.0, "exponent": 5.0, "noise": 0.5, "entropy_samples": 5},
        {"entropy_bins": 5, "least_edit": 0.5, "residual": True, "seed": 1},
    ),
    "the residual": ("residual", {"temperature": 9.0, "gate": 3.0, "residual_scale": 0.1, "least_edit": 0.5}, {}),
}


@pytest.mark.parametrize("script", OPTIONS)
def test_each_option_matters(script: str):
    case, *changes = OPTIONS[script]
    base = planned(**CASES[case])
    for name, value in {**changes[0], **changes[1]}.items():
        other = planned(**{**CASES[case], name: value})
        assert max((other[n] - base[n]).norm() / base[n].norm() for n in base) > 1e-5, name


def test_single_precision_is_close_enough_and_not_the_same():
    settings = CASES["large scale"]
    narrow = planned(**settings, precision="float32")
    assert 1e-12 < error(narrow, **settings) < 1e-4


@pytest.mark.parametrize("rows", [192, 224, 320])
@pytest.mark.parametrize("odd", [0, 5])
def test_rows_that_tie_have_one_mask_whatever_the_precision(rows: int, odd: int):
    clear, blurred = [1.0] * COPIES + [0.0] * COPIES, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    samples = torch.tensor([clear, blurred])[..., None]
    weight = torch.eye(2)[[0] * (rows - odd) + [1] * odd]
    narrow, wide = (soft_masks(weight.to(kind), samples.to(kind), 8.0) for kind in (torch.float32, torch.float64))
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-5, atol=1e-8)
    assert (wide[: rows - odd] == wide[0]).all()
    if not odd:
        assert wide[0].item() == pytest.approx(0.5**8, rel=1e-6), "a score of zero"


def test_fifty_objects_change_the_built_in_model_as_much_in_either_precision():
    model = open_model(MODEL)
    case = next(case for case in concepts.cases(1) if case.name == "50 objects")
    wide, narrow = (
        max(relative_changes(model, plan(model, measure.spec(case, "scapre-released", {"precision": kind}))).values())
        for kind in ("float64", "float32")
    )
    assert narrow == pytest.approx(wide, rel=1e-3)
    assert wide < 0.75, "the released script, in float32, has 1.00 where it rounds ties as well"


def test_mutual_information_is_at_most_ln_2():
    count = torch.arange(COPIES + 1)
    told = mutual_information(count, COPIES - count)
    assert told.max().item() == pytest.approx(math.log(2), abs=1e-6)
    assert mutual_information(torch.tensor(2), torch.tensor(2)).abs() < 1e-8


@pytest.mark.parametrize("count", [1, 2, COPIES])
def test_the_median_of_all_handfuls_at_once_is_the_lower_one_of_each(count: int):
    drawn = draw(7, 2, count, 9, seed=6)
    for activations in (drawn, drawn.round()):  # with ties too
        assert torch.equal(lower_median(activations), activations.flatten(1, 2).median(1).values)


def test_without_tokens_it_says_so():
    with pytest.raises(EditError, match="gather them by this editor's own settings"):
        planned(replace(CONCEPTS, tokens=None))


def test_its_tokens_are_what_they_are():
    with pytest.raises(SettingError, match="use one of tail"):
        planned(tokens="all")


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [("entropy_bins", 1, "at least 2"), ("entropy_samples", 0, "at least 1"), ("least_edit", 1.5, "at most 1")],
)
def test_what_no_entropy_or_mixture_can_be_taken_of_is_refused(name: str, value: float, cure: str):
    with pytest.raises(SettingError, match=f"scapre-released.{name} is {value}; use .*{cure}"):
        settings_for(editor_named("scapre-released"), {name: value})


def test_it_reads_from_the_last_subject_token_to_the_end_of_the_padding():
    pipeline = tiny.pipeline()
    longer = Target("bird", ("bird",), anchor="big blue dog")
    spec = EditSpec((longer, Target("cat", ("red cat", "kitty")), Target("dog", ("dog",), anchor="horse")))
    found = gather(pipeline, spec, ReleasedSettings())
    assert found.tokens is not None
    for row, (name, last, anchor, start) in enumerate(
        [("bird", 1, "big blue dog", 3), ("red cat", 2, " ", 0), ("kitty", 1, " ", 0), ("dog", 1, "horse", 1)]
    ):
        own = found.tokens.wording == row
        text, became = (encode(pipeline, [prompt]).embeddings[0] for prompt in (name, anchor))
        count = tiny.TOKENS - max(last, start)  # as the scripts have it, of a name as much as there is of its anchor
        assert torch.allclose(found.tokens.x[own], text[last : last + count], atol=1e-5)
        assert torch.allclose(found.tokens.anchors[found.tokens.partner[own]], became[start : start + count], atol=1e-5)
        assert torch.allclose(found.subjects[row], text[last], atol=1e-5)


def test_it_edits_a_real_pipeline():
    made = plan(tiny.pipeline(), EditSpec((Target("cat", ("cat", "kitty")),), (), "scapre-released"))
    assert all(row["change"] > 0.01 for row in made.diagnostics.values())
