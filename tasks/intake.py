"""Intake: a policy file becomes a work order, together with all the policies in force on the same model line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import expunge.engine
from expunge.canonical_json import canonical_json, sha256
from expunge.engine.errors import SettingError
from expunge.engine.families import family_named
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.digests import folder_digest, json_digest
from expunge.engine.judges import error, known
from expunge.engine.judges.card import recognises
from expunge.engine.models.format import pipeline_name
from expunge.engine.planning.make import settings_of
from expunge.engine.probes.prompts.families import probes_digest
from expunge.policies import DesiredState, Floor, Policy, PolicyError, PolicyErrors, desired_state, refuse_below
from expunge.policies.merge.expiry import refuse_shorter
from expunge.policies.model.schema import Level
from expunge.tasks.core.base_model import locate, refuse_too_large
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import IDENTITY, STATE
from expunge.tasks.core.policy_adapter import edit_spec, sampler
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.ledger.admission import admitting, keep_received
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.decisions.counters import open_counters, rescissions
from expunge.tasks.ledger.decisions.expiry import refuse_untimely
from expunge.tasks.ledger.decisions.kinds import kinds_of
from expunge.tasks.ledger.decisions.record import notices_of
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.work import bring_back
from expunge.tasks.ledger.policy_store import published_policies, same_in_force, state_with
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.recorder import AtTheDoor, note


def intake(policy: Policy, ledger: Ledger, settings: Settings, floor: Floor) -> Case:
    """Find the policy's base and its judge, and fold it with what is in force; all of it is on disk then.

    What is in force is raised to the floor, for it cannot be changed; the policy itself is refused below it. Raises
    PolicyError, PolicyErrors or PolicyConflict on the policy, IntegrityError where the base is another.
    """
    home, chain = settings.home, ledger.chain
    published, policies = of_step(chain, Step.PUBLISHED), published_policies(home, chain)
    if policy.digest not in {receipt.inputs["policy"] for receipt in published}:
        kinds = kinds_of(home, chain, policy, notices_of(home))  # its own is the submitter's word
        refuse_shorter(policy, policies, kinds)
        for kind in sorted(kinds):
            refuse_below(policy.model_copy(update={"kind": kind}), floor)
    state = state_with(policy, policies, chain, floor)
    refuse_untimely(policy, policies, ledger.line, home)
    follows = published[-1].outputs["bundle"] if published else ""
    order = _saved(policy, state, ledger.line, home, floor, follows)
    refuse_too_large(order.base_folder)
    known = {one.digest: one for one in (*policies, policy)}
    return Case(order, MappingProxyType(known), ledger, settings)


def repeated(policy: Policy, ledger: Ledger, home: Path) -> Receipt | None:
    """Return the publication of the request that asked the same first and is in force.

    None too where the policy cannot be compared, or is below the floor: the flow says why it is refused. So it does
    where one of the two is countered or was taken back. What is put back soon is in force for nobody else.
    """
    with suppress(IntegrityError, PolicyError, PolicyErrors):
        refuse_below(policy, floor_in_force())
        refuse_untimely(policy, (), ledger.line, home)
        first, notices = same_in_force(policy, home, ledger.chain), notices_of(home)
        stopped = {*open_counters(notices), *rescissions(notices)}
        return first if first and stopped.isdisjoint({first.request_id, policy.request_id}) else None
    return None


def note_repeated(policy: Policy, data: bytes, home: Path, first: Receipt, ledger: Ledger) -> Receipt:
    """Leave a receipt that says which request was published for the same. `data` is the file that was handed in."""
    inputs = keep_received(policy, data, home)[0] | {"publication": first.digest}
    verdict = {"outcome": "repeated", "request": first.request_id, "reasons": [f"{first.request_id} asked the same"]}
    return note(AtTheDoor(home, ledger.line, policy), Step.REPEATED, inputs, {}, verdict, ledger)


def order_for(model: str, policy: Policy, home: Path, level: Level | None = None) -> Order:
    """Return the order for examining a model, by its folder's digest, against this policy alone.

    It does not matter what else is in force. `level` takes the place of the policy's own.

    Raises:
        PolicyErrors: the policy is below the floor.
    """
    if not policy.concepts:
        raise PolicyError("concepts", "is empty, so there is nothing to ask", "give a policy that erases something")
    wanted = policy.acceptance if level is None else policy.acceptance.model_copy(update={"level": level})
    floor = floor_in_force()
    refuse_below(policy.model_copy(update={"acceptance": wanted}), floor)
    state = desired_state([policy]).model_copy(update={"acceptance": wanted})
    return _saved(policy, state, line_of(policy, home), home, floor, further={"model": model})


def order_again(policy: Policy, state: DesiredState, line: str, home: Path, floor: Floor, bundle: str) -> Order:
    """Return the order for questioning a published bundle again by this state; `policy` is one of those in force."""
    return _saved(policy, state, line, home, floor, further={"bundle": bundle})


def refuse_undrawn(base: Path) -> None:
    """Raise PolicyError on a model that nothing can be proven of, since it is not asked by words alone."""
    name = pipeline_name(base)
    if name in (family := family_named(name)).further:
        what = f"a {name} is asked in another way than a {family.pipelines[0]}, so nothing can be proven of it"
        raise PolicyError("base.uri", what, "give one of these; for this one plan an edit from Python, docs/python.md")


def refuse_unjudged(policy: Policy, judge: Path) -> None:
    """Raise PolicyErrors naming each concept that this judge cannot judge: nothing could be proven of it."""
    names = known(judge)
    errors = [
        PolicyError(f"{group}[{i}].{field}", f"the judge knows no {field} {value!r}", _nearest(value, usable))
        for group, entries in (("concepts", policy.concepts), ("retain", policy.retain))
        for i, entry in enumerate(entries)
        for field, value, usable in (
            ("category", entry.category, sorted(names)),
            ("name", entry.name, sorted(names.get(entry.category) or {entry.name})),
        )
        if value not in usable
    ]
    if policy.acceptance.max_noise_rate < 1 and not recognises(judge):
        what = "limits pictures of nothing, and the judge sees something in every picture"
        cure = "set EXPUNGE_JUDGE to a panel, or a classifier with a label for nothing, or leave it at 1"
        errors.append(PolicyError("acceptance.max_noise_rate", what, cure))
    if errors:
        raise PolicyErrors(errors)


def _nearest(value: str, usable: list[str]) -> str:
    """Return the cure for a word that the judge does not know: the names most like it, or else all that it knows."""
    near = get_close_matches(value.casefold(), usable)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"use one of {', '.join(usable)}"


def refuse_unknown_editor(state: DesiredState) -> None:
    """Raise PolicyError if there is no such editor, or it cannot have a setting that it is given."""
    try:
        settings_of(edit_spec(state))
    except SettingError as error:
        raise PolicyError("editor", str(error), "") from None


def _saved(
    policy: Policy,
    state: DesiredState,
    line: str,
    home: Path,
    floor: Floor,
    follows: str = "",
    further: Mapping[str, str] | None = None,
) -> Order:
    """Return the order, on disk beside its desired state.

    `further` digests set it apart from others of the same state.
    """
    base, judge = locate(policy)
    refuse_undrawn(base)
    refuse_unjudged(policy, judge)
    refuse_unknown_editor(state)
    judge_digest = folder_digest(judge)
    errors = error.read(judge, judge_digest)
    identity = {
        "engine": expunge.engine.__version__,
        "policy": policy.digest,
        "state": state.digest,
        "judge": judge_digest,
        "judge_error": json_digest({category: asdict(counted) for category, counted in errors.items()}),
        "sampler": sampler(state).digest,
        "probes": probes_digest(),
        **(further or {}),
    }
    key = sha256(content := canonical_json(identity))
    order = Order(
        request_id=policy.request_id,
        line=line,
        key=key,
        home=home,
        policy=policy.digest,
        state=state.digest,
        base=policy.base.sha256,
        base_folder=base,
        judge=judge_digest,
        judge_folder=judge,
        follows=follows,
        floor=floor.digest,
        attempt=_counted(home, key),
    )
    order.save()
    write_whole(order.folder / IDENTITY, content)
    write_whole(order.folder / STATE, canonical_json(state.model_dump(mode="json")))
    return order.holding(state)


def _counted(home: Path, key: str) -> int:
    """Return the number of the attempt that this work was, if it was one before."""
    with suppress(IntegrityError, NothingOnRecord):
        return Order.load(home, key).attempt
    return 0


def _reason(case: Case) -> dict[str, Any] | None:
    """Return what the receipt says of an expiry, where that is why something is withdrawn."""
    if not case.policy.on_expiry:
        return None
    gone = [one for one in case.policies.values() if one.request_id in case.policy.replaces and one.expires_at]
    said = [f"{one.request_id} expired at {one.expires_at.isoformat()}" for one in gone if one.expires_at]
    return {"outcome": "accepted", "reasons": sorted(set(said))}


@step("read the policy")
def read_task(policy: Policy, data: bytes, ledger: Ledger, settings: Settings) -> Case:
    """Open the case of a policy, whose file says `data`.

    One receipt: which policy on which base came to which desired state, or why it was turned away.
    """
    with admitting(policy, data, settings.home, ledger) as (inputs, floor):
        case = intake(policy, ledger, settings, floor)
        bring_back(settings.home, case.order.key, ledger.chain)
    case.note(Step.READ, inputs, {"state": case.order.state, "work": case.order.key}, _reason(case))
    concepts = len(case.order.desired.concepts)
    tell(f"{policy.request_id} on {ledger.line}: {concepts} concepts in force, work {case.order.key[:12]}")
    return case
