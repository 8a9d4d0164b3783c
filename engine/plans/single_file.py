"""A Stable Diffusion folder as one safetensors file in the layout that A1111, ComfyUI and `from_single_file` read.

diffusers reads that layout (`convert_ldm_unet_checkpoint` and functions like it) and has no writer. This is the way
back: the original names of every weight of UNet, autoencoder and text encoders. Weights keep their values and types. A
weight that has no name there is refused, so nothing is left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING, infer_diffusers_model_type
from safetensors.torch import load_file
from torch import Tensor

from expunge.engine.errors import EditError, UnknownArchitecture
from expunge.engine.files.model_layout import check_complete, components, read_index
from expunge.engine.files.reading.strict_json import read_json
from expunge.engine.files.tensor_files import save_whole

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
UNET, VAE, CLIP = "model.diffusion_model.", "first_stage_model.", "text_model."
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",  # the autoencoders of the first releases are still saved under these names
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def write_single_file(model: str | Path, out: str | Path) -> str:
    """Write the pipeline folder `model` to the file `out`, whole or not at all, and return a note for whoever opens it.

    The note is "" if there is nothing to know.

    Raises:
        UnknownArchitecture: it is no Stable Diffusion 1, 2 or XL.
        EditError: names a weight that the layout has no name for.
    """
    model, out = Path(model), Path(out)
    kind = read_index(model).get("_class_name")
    if kind not in PIPELINES:
        raise UnknownArchitecture(f"{kind} has no single-file layout here; known: {', '.join(PIPELINES)}")
    check_complete(model)
    tensors = _unet(model / "unet") | _vae(model / "vae")
    if kind == "StableDiffusionXLPipeline":
        tensors |= _clip(model / "text_encoder", "conditioner.embedders.0.transformer.")
        tensors |= _open_clip(model / "text_encoder_2", "conditioner.embedders.1.model.")
    elif _config(model / "text_encoder")["hidden_act"] == "quick_gelu":  # OpenAI's own; OpenCLIP's use the exact one
        tensors |= _clip(model / "text_encoder", "cond_stage_model.transformer.")
    else:
        tensors |= _open_clip(model / "text_encoder", "cond_stage_model.model.")
    note = "; ".join(filter(None, [prediction_note(model, tensors), schedule_note(model)]))
    save_whole(tensors, out, {"format": "pt"})
    return note


def prediction_note(model: Path, tensors: Mapping[str, Tensor]) -> str:
    """Return what to do where readers would sample the file wrongly, or "".

    The file does not say what the model predicts. So diffusers takes 2.x for `v_prediction` and all others for
    `epsilon`.
    """
    own = _config(model / "scheduler", "scheduler_config.json").get("prediction_type", "epsilon")
    taken = "v_prediction" if infer_diffusers_model_type(tensors) == "v2" else "epsilon"
    if own == taken:
        return ""
    return (
        f"the model predicts {own}, and readers take the file for one that predicts {taken}: in diffusers open it by "
        "from_single_file with config=FOLDER, the model's folder; for A1111 put a yaml beside it that says so"
    )


def schedule_note(model: Path) -> str:
    """Return what to do where the model scales its noise or latents in a way that the file does not say, or ""."""
    kind, schedule = components(model)["scheduler"].kind, _config(model / "scheduler", "scheduler_config.json")
    own = {
        f"is walked by {kind}": kind.startswith("EDM"),
        "shifts its latents (latents_mean of the vae)": _config(model / "vae").get("latents_mean") is not None,
        "starts from noise alone (rescale_betas_zero_snr)": bool(schedule.get("rescale_betas_zero_snr")),
    }
    if not any(own.values()):
        return ""
    return (
        f"the model {' and '.join(trait for trait, is_so in own.items() if is_so)}, of which the file says nothing, so "
        "readers sample it otherwise: in diffusers open it by from_single_file with config=FOLDER, the model's folder; "
        "other programs have to be told by hand, where they can do it"
    )


def unet_name(name: str, layers: int, attending: Iterable[int]) -> str | None:
    """Return the original name of a UNet's weight; None if there is none.

    Blocks are numbered through, `layers` resnets and one sampler each. `attending` are the numbers of the up blocks
    that have attention, behind which their upsampler stands.
    """
    table = DIFFUSERS_TO_LDM_MAPPING["unet"]
    fixed = table["layers"] | table["addition_embed_type"]
    if name in fixed:
        return fixed[name]
    if found := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(\w+)", name):
        return f"input_blocks.{(int(found[1]) + 1) * (layers + 1)}.0.op.{found[2]}"
    if found := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(\w+)", name):
        place = 2 if int(found[1]) in attending else 1
        return f"output_blocks.{int(found[1]) * (layers + 1) + layers}.{place}.conv.{found[2]}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        return f"middle_block.{2 * int(found[2]) + (found[1] == 'attentions')}.{_part(found[1], found[3])}"
    if found := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        down = found[1] == "down"
        place = int(found[2]) * (layers + 1) + int(found[4]) + down  # the first input block is `conv_in`
        side, inner = "input" if down else "output", found[3] == "attentions"
        return f"{side}_blocks.{place}.{int(inner)}.{_part(found[3], found[5])}"
    return None


def vae_name(name: str, blocks: int) -> str | None:
    """Return the original name of an autoencoder's weight; None if there is none.

    The decoder's `blocks` are numbered from the picture inwards.
    """
    fixed = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if name in fixed:
        return fixed[name]
    if found := re.fullmatch(r"(encoder|decoder)\.mid_block\.resnets\.(\d+)\.(.+)", name):
        return f"{found[1]}.mid.block_{int(found[2]) + 1}.{_shortcut(found[3])}"
    if found := re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(\w+)", name):
        return f"{found[1]}.mid.attn_1.{ATTENTION[found[2]]}.{found[3]}" if found[2] in ATTENTION else None
    if found := re.fullmatch(r"(encoder\.down|decoder\.up)_blocks\.(\d+)\.(resnets|\w+samplers)\.(\d+)\.(.+)", name):
        place = int(found[2]) if found[1] == "encoder.down" else blocks - 1 - int(found[2])
        if found[3] == "resnets":
            return f"{found[1]}.{place}.block.{found[4]}.{_shortcut(found[5])}"
        return f"{found[1]}.{place}.{found[3].removesuffix('rs')}.{found[5]}"
    return None


def open_clip_name(name: str) -> str | None:
    """Return the original name of an OpenCLIP text weight; None if there is none.

    Query, key and value have none of their own, because they are one matrix there.
    """
    for own, theirs in OPEN_CLIP.items():
        if name == own or name.startswith(own + "."):
            return name.replace(own, theirs)
        if found := re.fullmatch(rf"encoder\.layers\.(\d+)\.{re.escape(own)}\.(\w+)", name):
            return f"transformer.resblocks.{found[1]}.{theirs}.{found[2]}"
    return None


def _part(kind: str, rest: str) -> str:
    if kind == "attentions":
        return rest
    own, _, end = rest.rpartition(".")
    return f"{RESNET.get(own, own)}.{end}"


def _shortcut(rest: str) -> str:
    return rest.replace("conv_shortcut", "nin_shortcut")


def _unet(folder: Path) -> dict[str, Tensor]:
    config, weights = _config(folder), _weights(folder)
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        raise UnknownArchitecture(f"layers_per_block is {layers}; the single-file layout needs one number for all")
    attending = {place for place, kind in enumerate(config["up_block_types"]) if "CrossAttn" in kind}
    return _renamed("unet", weights, lambda name: unet_name(name, layers, attending), UNET)


def _vae(folder: Path) -> dict[str, Tensor]:
    config, weights = _config(folder), _weights(folder)
    named = _renamed("vae", weights, lambda name: vae_name(name, len(config["up_block_types"])), VAE)
    matrix = re.compile(r".*\.attn_1\.(q|k|v|proj_out)\.weight")  # a convolution of one pixel there
    return {
        name: value[..., None, None] if matrix.fullmatch(name) and value.ndim == 2 else value
        for name, value in named.items()
    }


def _clip(folder: Path, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{CLIP}{name}": value for name, value in _text(folder).items()}


def _open_clip(folder: Path, prefix: str) -> dict[str, Tensor]:
    weights = _text(folder)
    joined = {}
    for name in [name for name in weights if ".self_attn.q_proj." in name]:
        layer, kind = re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(\w+)", name).groups()  # type: ignore[union-attr]
        parts = [weights.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        joined[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    if "text_projection.weight" in weights:
        joined[prefix + "text_projection"] = weights.pop("text_projection.weight").T
    return joined | _renamed(folder.name, weights, open_clip_name, prefix)


def _text(folder: Path) -> dict[str, Tensor]:
    """Return a text encoder's weights without counters and without the wrapper's name.

    Not every version writes that name.
    """
    weights = {name.removeprefix(CLIP): value for name, value in _weights(folder).items()}
    weights.pop("embeddings.position_ids", None)
    return weights


def _renamed(
    component: str, weights: Mapping[str, Tensor], name_of: Callable[[str], str | None], prefix: str
) -> dict[str, Tensor]:
    renamed = {}
    for name, value in weights.items():
        if (theirs := name_of(name)) is None:
            raise EditError(
                f"{component}.{name}", "the single-file layout has no name for it; export in diffusers layout"
            )
        renamed[prefix + theirs] = value
    return renamed


def _config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    return read_json(folder / name)


def _weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights that `from_pretrained` would open without a variant, in their own type."""
    part = components(folder.parent)[folder.name]
    return {name: value for path in part.weights() for name, value in load_file(path).items()}
