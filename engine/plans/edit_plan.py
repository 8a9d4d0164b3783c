"""An edit as data: saved as safetensors, applied, and undone to the bit.

Undoing needs the original weights, because W + D - D is not W in floating point. `apply` returns them and `undo` takes
them back. `applied` does both as a context manager.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from expunge.canonical_json import canonical_json
from expunge.engine.errors import DigestMismatch, EditError, ModelFormatError
from expunge.engine.families import matrices, plain_name, refuse_replaced, submodules, uncompiled
from expunge.engine.files.digests import json_digest
from expunge.engine.files.reading.strict_json import parse_json
from expunge.engine.files.reading.tensor_headers import stored_tensors
from expunge.engine.files.tensor_files import save_whole, tensor_digest
from expunge.engine.linalg import ratio
from expunge.engine.text.encoder_digest import OFFLOADED, check_encoders, encoder_digests
from expunge.engine.text.templates import templates_digest

FORMAT = "expunge-plan-1"


@dataclass(frozen=True)
class EditPlan:
    """The change of each projection by parameter name, float32 [d_out, d], and its origin.

    `spec` and `templates` are digests of the specification and of the wordings. `settings` are all settings of the
    editor. `base` is the tensor digest of the projections that it was planned on and may be applied to. It covers any
    other parameter that the plan changes, too: an editor that trains may change all of them. `encoders` are the
    digests, by component, of the parts that read the text; plans from before 0.12 have none.

    `diagnostics` gives three figures for each projection, to six digits: `change`, |D|/|W0| of the part that text
    feeds; `residual`, the energy of targets left over their anchors, 1 if unedited; and `drift`, the relative energy by
    which retained and general tokens moved. They were measured while planning, on the tokens that this editor reads, so
    those of two editors cannot be compared. They are for people to read, and no part of the digest. A limit is checked
    against `relative_changes`.
    """

    deltas: Mapping[str, Tensor] = field(repr=False)
    spec: str
    templates: str
    base: str
    editor: str
    settings: Mapping[str, Any]
    diagnostics: Mapping[str, Mapping[str, float]] = field(repr=False)
    encoders: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def digest(self) -> str:
        return json_digest({"format": FORMAT, **self._identity, "deltas": tensor_digest(self.deltas)})

    @property
    def _identity(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("spec", "templates", "base", "editor", "settings")}
        return named | ({"encoders": dict(self.encoders)} if self.encoders else {})

    def save(self, path: str | Path) -> None:
        """Write the plan whole or not at all.

        The bytes are the same for the same plan, because the metadata is one key.
        """
        record = {"format": FORMAT, "digest": self.digest, **self._identity, "diagnostics": self.diagnostics}
        text = canonical_json(record).decode()
        save_whole(self.deltas, Path(path), {"plan": text})

    @classmethod
    def load(cls, path: str | Path) -> EditPlan:
        """Read a saved plan.

        Raises:
            ModelFormatError: it is not a plan.
            DigestMismatch: it is not the plan that it says it is.
        """
        if not Path(path).is_file():
            raise ModelFormatError(
                f"{path} is no file; name that of a saved plan, of a bundle its `deltas.safetensors`"
            )
        try:
            with safe_open(path, "pt") as handle:
                stored_tensors(Path(path))
                record = parse_json(handle.metadata()["plan"].encode())
                deltas = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - it is no dict
            digest, form = record.pop("digest"), record.pop("format")
            plan = cls(deltas=deltas, **record)
            found = plan.digest
        except PermissionError as error:
            raise ModelFormatError(f"{path} cannot be read ({error.strerror}); ask its owner") from error
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFormatError(f"{path} is not a saved edit plan; plan the edit again") from error
        if form != FORMAT or found != digest:
            raise DigestMismatch(f"edit plan {path}", digest, found, "it was altered; plan the edit again")
        return plan


@dataclass(frozen=True)
class Applied:
    """The result of `apply`.

    `originals` are the original weights by name. `rounding` is what was lost of each change in rounding to the weight's
    own dtype, |W + D - rounded| / |D|. Where the change is small beside the weight, that is much more than the dtype's
    precision. `parameters` are the model's own, all that the digest of the plan's base covers.
    """

    plan: EditPlan
    parameters: Mapping[str, Tensor]
    originals: Mapping[str, Tensor]
    rounding: Mapping[str, float]


def base_digest(pipeline: Any, names: Iterable[str] = ()) -> str:
    """Return the tensor digest of the text projections and of the parameters `names`, in their dtype when opened."""
    return _digest(_parameters(pipeline, names))


def origin(pipeline: Any, names: Iterable[str] = ()) -> dict[str, Any]:
    """Return what a plan comes from beside its specification, by the names of its fields.

    Its base covers the parameters `names` too.
    """
    base, encoders = base_digest(pipeline, names), encoder_digests(pipeline)
    return {"templates": templates_digest(), "base": base, "encoders": encoders}


@torch.no_grad()
def relative_changes(pipeline: Any, plan: EditPlan) -> dict[str, float]:
    """Return |D|/|W0| of each projection in the Frobenius norm, from the deltas and the weights themselves.

    A change of weights that are all zero is infinite.

    Raises:
        DigestMismatch: the plan was made on other weights.
    """
    named = planned_on(pipeline, plan)
    norms = {name: (delta.double().norm(), named[name].cpu().double().norm()) for name, delta in plan.deltas.items()}
    return {name: (change / whole).item() if change != 0 else 0.0 for name, (change, whole) in norms.items()}


@torch.no_grad()
def apply(pipeline: Any, plan: EditPlan) -> Applied:
    """Add the plan to the pipeline's projections and return what `undo` needs.

    The sum is taken in float64 and written in the parameter's own dtype. Nothing is written unless all of it is finite
    there.

    Raises:
        DigestMismatch: the projections or the text encoders are not those that it was planned on.
        EditError: a sum is not finite, or a parameter is missing.
    """
    named = planned_on(pipeline, plan)
    check_encoders(pipeline, plan.encoders)
    sums = {name: edited(name, named[name], delta) for name, delta in plan.deltas.items()}
    originals = {name: named[name].detach().clone() for name in sums}
    for name, (weight, _) in sums.items():
        named[name].copy_(weight)
    return Applied(plan, named, originals, {name: error for name, (_, error) in sums.items()})


def edited(name: str, weight: Tensor, delta: Tensor) -> tuple[Tensor, float]:
    """Return weight plus delta, in the weight's own dtype, and the share of the delta lost in rounding.

    The sum is taken in float64.

    Raises:
        EditError: the sum is not finite.
    """
    exact = weight.cpu().double() + delta.cpu().double()
    rounded = checked(name, exact.to(weight.dtype))
    return rounded, ratio((exact - rounded.double()).norm(), delta.cpu().double().norm())


@torch.no_grad()
def undo(pipeline: Any, applied: Applied) -> None:
    """Put the original weights back, bit for bit, whatever was loaded or left out since.

    Raises:
        DigestMismatch: the result is not the base that the plan was made on.
        EditError: the pipeline has other parameters by now, or a LoRA was fused into them.
        UnknownArchitecture: the pipeline multiplies by edited copies of them.
    """
    for name, weight in applied.originals.items():
        applied.parameters[name].copy_(weight)
    if (found := _digest(applied.parameters)) != applied.plan.base:
        raise DigestMismatch("restored projections", applied.plan.base, found, "open the base model again")
    for component in sorted({name.partition(".")[0] for name in applied.originals}):
        module = uncompiled(getattr(pipeline, component, None))
        if isinstance(module, nn.Module):  # else nothing multiplies by them any more
            own = {name: applied.parameters[name] for name in applied.originals if name.startswith(f"{component}.")}
            _check_in_use(module, component, own)


def _check_in_use(module: nn.Module, component: str, restored: Mapping[str, Tensor]) -> None:
    """Check that the module multiplies by these parameters and by nothing else.

    Raises:
        EditError: it has other parameters, or a LoRA was fused into them.
        UnknownArchitecture: it multiplies by copies of them.
    """
    held = {id(parameter) for parameter in module.parameters()}
    if gone := [name for name, parameter in restored.items() if id(parameter) not in held]:
        raise EditError(gone[0], "is another parameter by now, which was not restored; open the base model again")
    own = {id(parameter) for parameter in restored.values()}
    merged = [(name, layer) for name, layer in submodules(module) if getattr(layer, "merged", False)]
    if fused := [name for name, layer in merged if own.intersection(map(id, layer.parameters()))]:
        problem = "had a LoRA fused into it, which to unfuse would spoil what was restored; open the base model again"
        raise EditError(f"{component}.{fused[0]}", problem)
    refuse_replaced(module)


@contextlib.contextmanager
def applied(pipeline: Any, plan: EditPlan) -> Iterator[Applied]:
    """Apply the plan for a while, and undo it afterwards, whatever happens in between."""
    state = apply(pipeline, plan)
    try:
        yield state
    finally:
        undo(pipeline, state)


def planned_on(pipeline: Any, plan: EditPlan) -> dict[str, Tensor]:
    """Return the projections and the other parameters of a plan by name, if they are those that it was made on.

    Raises:
        DigestMismatch: they are others.
        EditError: names a parameter that the base model does not have.
    """
    named = _parameters(pipeline, plan.deltas)
    if (found := _digest(named)) != plan.base:
        raise DigestMismatch(
            "text projections", plan.base, found, "apply the plan to the untouched base in its own dtype"
        )
    if missing := sorted(plan.deltas.keys() - named.keys()):
        raise EditError(missing[0], "is not in the base model; plan the edit on this base")
    return named


def _digest(named: Mapping[str, Tensor]) -> str:
    try:
        return tensor_digest(named)
    except NotImplementedError as error:  # raised by a tensor without memory
        gone = next(name for name, weight in named.items() if weight.is_meta)
        raise EditError(gone, OFFLOADED) from error


def _parameters(pipeline: Any, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the text projections, and those of the named parameters, `component.path`, that the pipeline has."""
    found: dict[str, Tensor] = {p.name: p.weight for p in matrices(pipeline)}
    wanted = [name for name in names if name not in found]
    for component in sorted({name.partition(".")[0] for name in wanted}):
        module = uncompiled(getattr(pipeline, component, None))
        named = module.named_parameters(component) if isinstance(module, nn.Module) else ()
        present = {plain_name(name): parameter for name, parameter in named}
        found |= {name: present[name] for name in wanted if name in present}
    return found


def checked(layer: str, tensor: Tensor) -> Tensor:
    if not tensor.isfinite().all():
        raise EditError(layer, f"not finite in {tensor.dtype}; check the base for NaN, or open it in float32")
    return tensor
