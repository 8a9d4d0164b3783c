"""Every field's refusals: one edit of a good policy, and the field, line and words that the error must have."""

from __future__ import annotations

import pytest

import expunge.policies
from tests.policies.conftest import Edited, Refusals

NAMES, DELTA = "    name: panda\n", "max_weight_delta: 0.5"


def test_the_unedited_policy_is_good(good: str) -> None:
    policy = expunge.policies.parse(good.encode(), "case.yaml")
    assert [concept.name for concept in policy.concepts] == ["panda", "taxi"]
    assert policy.editor.settings == {"strength": 1.5}
    assert policy.acceptance.seeds == 8
    assert policy.acceptance.min_control_rate == 0.85


# old text, new text, field, line, fragment of the error
EDITS = {
    "duplicate key": ("kind: copyright\n", "kind: copyright\nkind: ncii\n", "kind", 4, "on line 3 and on line 4"),
    "duplicate nested": ("  seeds: 8\n", "  seeds: 8\n  seeds: 9\n", "acceptance.seeds", 23, "line 22 and on line 23"),
    "misspelt": ("title: A title", "titel: A title", "titel", 5, "did you mean title?"),
    "misspelt nested": ("    aliases:", "    alias:", "concepts[0].alias", 12, "did you mean aliases?"),
    "misspelt limit": ("  max_concepts: 2", "  max_concept: 2", "limits.max_concept", 24, "did you mean max_concepts?"),
    "unknown": ("seed: 0", "zzz: 0", "zzz", 29, "use one of: schema_version"),
    "escape in key": ("seed: 0", '"\\e[31m": 0', r"'\x1b[31m'", 29, "unknown field"),
    "list as key": ("seed: 0", "? [a]\n: 0", "", 29, "list or mapping as a key"),
    "number as key": ("strength: 1.5", "1: 1.5", "editor.settings.1", 28, "no plain text to YAML"),
    "no as key": ("strength: 1.5", "no: 1.5", "editor.settings.no", 28, "no plain text to YAML"),
    "merge key": ("seed: 0", "<<: {}", "'<<'", 29, "no plain text to YAML"),
    "missing": ("kind: copyright\n", "", "kind", 1, "is missing"),
    "missing nested": (NAMES, "", "concepts[0].name", 10, "is missing"),
    "version number": ('schema_version: "1"', "schema_version: 1", "schema_version", 1, 'put it in quotes: "1"'),
    "version unknown": ('schema_version: "1"', 'schema_version: "2"', "schema_version", 1, "use one of: 1"),
    "request id path": ("request_id: case-1", "request_id: ../x", "request_id", 2, "1 to 64 of"),
    "request id newline": ("request_id: case-1", 'request_id: "case-1\\n"', "request_id", 2, "1 to 64 of"),
    "request id long": ("request_id: case-1", "request_id: " + "a" * 65, "request_id", 2, "1 to 64 of"),
    "request id empty": ("request_id: case-1", 'request_id: ""', "request_id", 2, "1 to 64 of"),
    "kind": ("kind: copyright", "kind: copyrigth", "kind", 3, "did you mean copyright?"),
    "kind NO": ("kind: copyright", "kind: NO", "kind", 3, "use one of: copyright"),
    "kind list": ("kind: copyright", "kind: [copyright]", "kind", 3, "must be one word"),
    "naive": ("09:30:00Z", "09:30:00", "received_at", 4, "no time zone"),
    "future": ("2026-01-12T", "2999-01-12T", "received_at", 4, "in the future"),
    "no such day": ("2026-01-12T", "2026-02-30T", "received_at", 4, "no real moment"),
    "offset": ("09:30:00Z", "09:30:00+25:00", "received_at", 4, "no real moment"),
    "date alone": ("2026-01-12T09:30:00Z", "2026-01-12", "received_at", 4, "not an ISO date"),
    "unquoted": ('"2026-01-12T09:30:00Z"', "2026-01-12T09:30:00Z", "received_at", 4, "in quotes"),
    "title empty": ("title: A title", "title:", "title", 5, "has no value"),
    "title bell": ("title: A title", 'title: "a\\a"', "title", 5, "U+0007"),
    "base text": ('base:\n  uri: "builtin:emoji"\n', "base: x\nlost:\n  uri: x\n", "base", 6, "not a mapping"),
    "base relative": ("builtin:emoji", "models/emoji", "base.uri", 7, "no address of a model"),
    "base http": ("builtin:emoji", "https://x.org/m", "base.uri", 7, "no address of a model"),
    "base climbs": ("builtin:emoji", "file:/models/../etc", "base.uri", 7, "climbs"),
    "base newline": ("builtin:emoji", "file:/models\\n", "base.uri", 7, "no address of a model"),
    "sha short": ("ab" * 32, "ab", "base.sha256", 8, "64 lower-case hex"),
    "sha upper": ("ab" * 32, "AB" * 32, "base.sha256", 8, "64 lower-case hex"),
    "sha unquoted": (f'"{"ab" * 32}"', "0" * 64, "base.sha256", 8, "put it in quotes"),
    "concept id": ("id: panda", "id: Panda", "concepts[0].id", 10, "1 to 64 of a-z"),
    "concept id twice": ("id: taxi", "id: panda", "concepts[1].id", 14, "is the id of concepts[0].id already"),
    "concept id kept": ("id: bear", "id: taxi", "retain[0].id", 18, "is the id of concepts[1].id already"),
    "category": ("category: object\nretain", "category: objct\nretain", "concepts[1].category", 16, "mean object?"),
    "aliases text": ("[bamboo eater]", "bamboo eater", "concepts[0].aliases", 12, "is not a list"),
    "aliases empty": ("[bamboo eater]", '[""]', "concepts[0].aliases[0]", 12, "is empty"),
    "alias repeats": ("[bamboo eater]", "[Panda]", "concepts[0].aliases[0]", 12, "repeats concepts[0].name 'panda'"),
    "name repeats": ("name: taxi", "name: Bamboo Eater", "concepts[1].name", 15, "repeats concepts[0].aliases[0]"),
    "kept target": (
        "name: bear",
        "name: PANDA",
        "retain[0].name",
        18,
        "'PANDA' is to be kept, but concepts[0].name 'panda'",
    ),
    "kept alias": ("name: bear", "name: Bamboo Eater", "retain[0].name", 18, "concepts[0].aliases[0] 'bamboo eater'"),
    "anchor erased": (NAMES, NAMES + "    anchor: Taxi\n", "concepts[0].anchor", 12, "itself erased"),
    "anchor path": (NAMES, NAMES + "    anchor: a/b\n", "concepts[0].anchor", 12, "'/'"),
    "prompt empty": (NAMES, NAMES + '    prompts: [" "]\n', "concepts[0].prompts[0]", 12, "is empty"),
    "prompt places": (NAMES, NAMES + '    prompts: ["{} and {}"]\n', "concepts[0].prompts[0]", 12, "leave one {}"),
    "prompt name": (
        NAMES,
        NAMES + '    prompts: ["a photo of {name}"]\n',
        "concepts[0].prompts[0]",
        12,
        "write {} for",
    ),
    "prompt braces": (NAMES, NAMES + '    prompts: ["a {{}}"]\n', "concepts[0].prompts[0]", 12, "write {} for"),
    "prompt lines": (NAMES, NAMES + '    prompts: ["a\\nb"]\n', "concepts[0].prompts[0]", 12, "U+000A"),
    "prompt long": (NAMES, NAMES + f"    prompts: [{'a' * 501}]\n", "concepts[0].prompts[0]", 12, "501 characters"),
    "kin of none": (
        "kind: look_alike,",
        "kind: look_alike, kin: [koala],",
        "retain[0].kin[0]",
        18,
        "'koala' is no target here",
    ),
    "retain kind": ("kind: look_alike", "kind: lookalike", "retain[0].kind", 18, "did you mean look_alike?"),
    "nan": ("0.10", ".nan", "acceptance.max_target_rate", 20, "'.nan' is not a number"),
    "word nan": ("0.10", "nan", "acceptance.max_target_rate", 20, "'nan' is not a number"),
    "inf": ("0.5\n", ".inf\n", "limits.max_weight_delta", 25, "'.inf' is not a number"),
    "overflow": ("0.10", "9" * 400 + ".0", "acceptance.max_target_rate", 20, "is not a number"),
    "negative": ("0.10", "-0.10", "acceptance.max_target_rate", 20, "greater than 0"),
    "none at all": ("0.10", "0.0", "acceptance.max_target_rate", 20, "greater than 0"),
    "no drop": ("seeds: 8", "max_retain_drop: 0", "acceptance.max_retain_drop", 22, "greater than 0"),
    "any drop": ("seeds: 8", "max_retain_drop: 1", "acceptance.max_retain_drop", 22, "less than 1"),
    "over one": ("0.10", "1.01", "acceptance.max_target_rate", 20, "less than 1"),
    "percent": ("0.10", "10%", "acceptance.max_target_rate", 20, "'10%' is not a number"),
    "exponent": ("0.10", "1e-1", "acceptance.max_target_rate", 20, "plain decimal number"),
    "quoted number": ("0.10", '"0.10"', "acceptance.max_target_rate", 20, "without quotes"),
    "no zero": ("0.10", ".1", "acceptance.max_target_rate", 20, "plain decimal number"),
    "above control": ("0.10", "0.85", "acceptance.max_target_rate", 20, "unedited model would pass"),
    "confidence": ("0.95", "0.5", "acceptance.confidence", 21, "greater than 0.5"),
    "confidence one": ("0.95", "1", "acceptance.confidence", 21, "less than 1"),
    "attack one": ("seeds: 8", "max_attack_rate: 1.0", "acceptance.max_attack_rate", 22, "less than 1"),
    "probe zero": ("seeds: 8", "probe_limits: {alias: 0.0}", "acceptance.probe_limits.alias", 22, "greater than 0"),
    "probe one": (
        "seeds: 8",
        "probe_limits: {alias: 1.0}",
        "acceptance.probe_limits",
        22,
        "only an attack may be left",
    ),
    "probe over one": ("seeds: 8", "probe_limits: {relearn: 1.1}", "acceptance.probe_limits.relearn", 22, "equal to 1"),
    "probe list": ("seeds: 8", "probe_limits: [alias]", "acceptance.probe_limits", 22, "a list is not a mapping"),
    "probe name": ("seeds: 8", "probe_limits: {Alias: 0.1}", "acceptance.probe_limits.Alias", 22, "is not allowed"),
    "no step": ("seeds: 8", "steps: 0", "acceptance.steps", 22, "greater than or equal to 1"),
    "half a step": ("seeds: 8", "steps: 12.5", "acceptance.steps", 22, "not a whole number"),
    "steps without end": ("seeds: 8", "steps: 1001", "acceptance.steps", 22, "less than or equal to 1000"),
    "guided away": ("seeds: 8", "guidance: 0.5", "acceptance.guidance", 22, "greater than or equal to 1"),
    "guided beyond": ("seeds: 8", "guidance: 30.5", "acceptance.guidance", 22, "less than or equal to 30"),
    "no prompt": ("seeds: 8", "prompts: 0", "acceptance.prompts", 22, "greater than or equal to 1"),
    "prompts many": ("seeds: 8", "prompts: 1001", "acceptance.prompts", 22, "less than or equal to 1000"),
    "empty rounds": ("seeds: 8", "round_seeds: 0", "acceptance.round_seeds", 22, "greater than or equal to 1"),
    "rounds long": ("seeds: 8", "round_seeds: 10001", "acceptance.round_seeds", 22, "less than or equal to 10000"),
    "level": ("seeds: 8", "level: hard", "acceptance.level", 22, "use one of: quick, standard, adversarial"),
    "sampling": ("seeds: 8", "sampling: adaptive", "acceptance.sampling", 22, "use one of: fixed, sequential"),
    "seeds zero": ("seeds: 8", "seeds: 0", "acceptance.seeds", 22, "greater than or equal to 1"),
    "seeds many": ("seeds: 8", "seeds: 10001", "acceptance.seeds", 22, "less than or equal to 10000"),
    "seeds octal": ("seeds: 8", "seeds: 010", "acceptance.seeds", 22, "'010' is not a whole number"),
    "seeds hex": ("seeds: 8", "seeds: 0x8", "acceptance.seeds", 22, "not a whole number"),
    "seeds sexagesimal": ("seeds: 8", "seeds: 1:30", "acceptance.seeds", 22, "not a whole number"),
    "seeds underscore": ("seeds: 8", "seeds: 1_0", "acceptance.seeds", 22, "not a whole number"),
    "seeds fraction": ("seeds: 8", "seeds: 8.5", "acceptance.seeds", 22, "not a whole number"),
    "seeds whole float": ("seeds: 8", "seeds: 8.0", "acceptance.seeds", 22, "not a whole number"),
    "seeds true": ("seeds: 8", "seeds: true", "acceptance.seeds", 22, "not a whole number"),
    "seeds huge": ("seeds: 8", "seeds: " + "9" * 5000, "acceptance.seeds", 22, "not a whole number"),
    "seeds null": ("seeds: 8", "seeds: null", "acceptance.seeds", 22, "not a whole number"),
    "too many concepts": (
        "max_concepts: 2",
        "max_concepts: 1",
        "concepts",
        9,
        "names 2 concepts, but limits.max_concepts is 1",
    ),
    "no change": ("0.5\n", "0.0\n", "limits.max_weight_delta", 25, "greater than 0"),
    "any change": ("0.5\n", "10.5\n", "limits.max_weight_delta", 25, "less than or equal to 10"),
    "no time": (DELTA, "max_compute_minutes: 0", "limits.max_compute_minutes", 25, "greater than 0"),
    "any time": (
        DELTA,
        "max_compute_minutes: 100001",
        "limits.max_compute_minutes",
        25,
        "less than or equal to 100000",
    ),
    "aged at once": ("seed: 0", "reverify: {max_age_days: 0}", "reverify.max_age_days", 29, "or equal to 1"),
    "never aged": ("seed: 0", "reverify: {max_age_days: 3651}", "reverify.max_age_days", 29, "or equal to 3650"),
    "editor name": ("name: scapre", "name: ../scapre", "editor.name", 27, "an editor's name"),
    "setting name": ("strength: 1.5", "a.b: 1.5", "editor.settings.'a.b'", 28, "a setting's name"),
    "setting nan": ("strength: 1.5", "strength: .nan", "editor.settings.strength", 28, "no plain value"),
    "setting yes": ("strength: 1.5", "strength: yes", "editor.settings.strength", 28, "no plain value"),
    "setting list": ("strength: 1.5", "strength: [1]", "editor.settings.strength", 28, "no plain value"),
    "seed negative": ("seed: 0", "seed: -1", "seed", 29, "greater than or equal to 0"),
    "seed wide": ("seed: 0", "seed: 999999999999999999999", "seed", 29, "not a whole number"),
    "tag": ("seed: 0", "seed: !!int 0", "", 29, "uses the tag"),
    "python tag": ("title: A title", "title: !!python/name:os.system x", "", 5, "uses the tag"),
    "anchor": ("title: A title", "title: &t A title", "", 5, "anchor &t"),
    "alias": ("title: A title", "title: *t", "", 5, "alias *t"),
    "second document": ("seed: 0\n", "seed: 0\n---\nseed: 1\n", "", 30, "several documents"),
    "tab": ("  seeds: 8", "\tseeds: 8", "", 22, "is not YAML"),
    "open quote": ("title: A title", 'title: "A title', "", 7, "from line 1"),
    "colon in text": ("title: A title", "title: a: b", "", 5, "is not YAML"),
}


@pytest.mark.parametrize(("old", "new", "field", "line", "fragment"), EDITS.values(), ids=EDITS.keys())
def test_one_edit_is_refused(
    old: str, new: str, field: str, line: int, fragment: str, edited: Edited, refusals: Refusals
) -> None:
    errors = refusals(edited(old, new))
    named = [error for error in errors if error.field == field]
    assert named, [str(error) for error in errors]
    assert named[0].line == line
    assert fragment in str(named[0])
    assert str(named[0]).startswith(f"case.yaml:{line}: ")
    assert named[0].cure
    assert str(named[0]).isprintable()


# a plain scalar where text is wanted, which some reader of YAML takes for something else
IMPLICIT = (
    """NO no On y N true False null ~ 1.10 1 -1 +1 0123 0o17 0x1F 1_000 1e3 .5 5. .inf .NaN 22:30:00 2026-01-01 = <<"""
)


@pytest.mark.parametrize("text", [*IMPLICIT.split(), "2026-01-01 10:00:00"])
def test_implicit_types_are_asked_to_wear_quotes(text: str, edited: Edited, refusals: Refusals) -> None:
    errors = refusals(edited("name: taxi", f"name: {text}"))
    assert [(error.field, error.line) for error in errors] == [("concepts[1].name", 15)]
    assert errors[0].cure == f'put it in quotes: "{text}"'


@pytest.mark.parametrize("text", ["No", "1.10", "22:30:00", "0123", "null"])
def test_quotes_make_them_names(text: str, edited: Edited) -> None:
    assert (
        expunge.policies.parse(edited("name: taxi", f'name: "{text}"').encode(), "case.yaml").concepts[1].name == text
    )


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(good: str, refusals: Refusals) -> None:
    text = good.replace("kind: copyright", "kind: x").replace("name: taxi", "name: 1.10").replace("seed: 0", "sed: 0")
    errors = refusals(text.replace("  seeds: 8\n", "  seeds: 8\n  seeds: .nan\n"))
    assert [error.field for error in errors] == ["kind", "concepts[1].name", "acceptance.seeds", "sed"]
    assert [error.line for error in errors] == [3, 15, 23, 30]


def test_all_collisions_are_told_at_once(good: str, refusals: Refusals) -> None:
    text = (
        good.replace("name: taxi", "name: panda").replace("name: bear", "name: Panda").replace("id: bear", "id: taxi")
    )
    assert [error.field for error in refusals(text)] == ["concepts[1].name", "retain[0].id", "retain[0].name"]
