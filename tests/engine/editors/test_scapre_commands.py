"""The settings that are told as ScaPre's published commands are what its script asks for."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from expunge.engine.editors.scapre_released import PUBLISHED, ReleasedSettings

ASKED: dict[str, tuple[str, dict[str, float]]] = {
    "large scale": (
        "erase_scale.py",
        {
            "use_mi_softmask": True,
            "erase_scale": 2,
            "p": 8,
            "bures_iters": 1,
            "enable_ased": True,
            "entropy_samples": 30,
            "entropy_bins": 20,
        },
    ),
    "diversi50": ("erase_scale.py", {"use_mi_softmask": True, "erase_scale": 3, "p": 5, "bures_iters": 1}),
    "explicit": ("erase_scale.py", {"erase_scale": 2, "p": 3, "bures_mu_from_entropy": True, "bures_iters": 1}),
    "naked": (
        "erase_scale.py",
        {"p": 2, "alpha_min": 1, "entropy_samples": 20, "svd": True, "T_sigma": 1, "p_sigma": 1},
    ),
    "imagenette": ("erase.py", {"p": 2, "alpha_min": 0.8, "entropy_samples": 20}),
    "artists": ("erase.py", {"p": 2, "alpha_min": 0.5, "entropy_samples": 20}),
    "residual": (
        "erase.py",
        {"p": 2, "alpha_min": 1, "entropy_samples": 20, "svd": True, "T_sigma": 1, "p_sigma": 1},
    ),
}
"""Each published command as it stands in script/erase.sh of kaiyuan02415/ScaPre: the program and its options."""
UNASKED = {  # what both programs take an option for that is left out
    "erase_scale": 1,
    "p": 2,
    "entropy_samples": 20,
    "entropy_bins": 20,
    "noise_sigma": 0.01,
    "T_sigma": 1,
    "p_sigma": 1,
    "lamb": 0.5,
}
UNASKED_OF = {
    "erase_scale.py": {"use_mi_softmask": False, "enable_ased": False, "bures_iters": 2},
    "erase.py": {"svd": False, "alpha_min": 0.1},
}


@pytest.mark.parametrize("command", ASKED)
def test_the_published_commands_are_what_their_script_asks_for(command: str):
    """What has an effect: neither the exponent of a mask that is off, nor the gate where no spectral part uses it."""
    program, options = ASKED[command]
    told = {**UNASKED, **UNASKED_OF[program], **options}
    s = ReleasedSettings(**PUBLISHED[command])
    found = {
        "erase_scale": s.erase_scale,
        "entropy_samples": s.entropy_samples,
        "entropy_bins": s.entropy_bins,
        "noise_sigma": s.noise,
        "lamb": s.lamb,
    }
    if program == "erase.py":
        found |= {"p": s.exponent, "svd": s.residual, "alpha_min": s.least_edit}
        gated = s.residual
        assert s.residual_scale == 0.0  # none of them has --res_scale
    else:
        found |= {"use_mi_softmask": s.mask, "enable_ased": s.spectral, "bures_iters": s.steps}
        found |= {"p": s.exponent} if s.mask else {}
        gated = s.spectral
    found |= {"T_sigma": s.temperature, "p_sigma": s.gate} if gated else {}
    assert f"{s.script}.py" == program
    assert found == {name: told[name] for name in found}


def test_every_published_command_is_there_and_the_defaults_are_that_for_large_scale():
    assert set(PUBLISHED) == set(ASKED)
    assert ReleasedSettings() == ReleasedSettings(**PUBLISHED["large scale"])
    assert asdict(ReleasedSettings()) == {
        "tokens": "tail",
        "bare": True,
        "general_words": 0,
        "kin": 1.0,
        "default_anchor": "empty",
        "sentences": 0.0,
        "script": "erase_scale",
        "erase_scale": 2.0,
        "lamb": 0.5,
        "mask": True,
        "exponent": 8.0,
        "noise": 0.01,
        "entropy_samples": 30,
        "entropy_bins": 20,
        "spectral": True,
        "temperature": 1.0,
        "gate": 1.0,
        "steps": 1,
        "least_edit": 0.8,
        "residual": False,
        "residual_scale": 0.0,
        "seed": 0,
        "precision": "float32",
    }
