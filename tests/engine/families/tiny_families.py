"""Real pipelines of the other families, as small as their classes allow, built offline from configs and one seed."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from typing import Any, cast

import torch
from diffusers import (
    AnimateDiffPipeline,
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKLCogVideoX,
    AutoencoderKLFlux2,
    AutoencoderKLLTXVideo,
    AutoencoderKLQwenImage,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    LTXConditionPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MotionAdapter,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    TextToVideoSDPipeline,
    UNet2DConditionModel,
    UNet3DConditionModel,
    WanPipeline,
    WanTransformer3DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import pre_tokenizers
from torch import nn
from transformers import (
    AutoTokenizer,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.engine import tiny

SECOND, POOLED, SIZES, T5_WIDTH = 24, 20, 6 * 4, 64


def seeded(build: Callable[[], Any]) -> Callable[..., Any]:
    """A builder whose weights are the same for the same seed; its pipeline draws no progress bars."""

    @functools.wraps(build)
    def built(seed: int = 0) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pipeline = build()
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return built


def bang_padded() -> CLIPTokenizer:
    """The same tokens, padded with `!` as the second tokenizers of Stable Diffusion XL and 3 are."""
    words = tiny.tokenizer()
    words.pad_token = "!"
    return words


clip = functools.partial(tiny.clip, projection_dim=POOLED)
LETTERS = string.ascii_lowercase.replace("q", "P").replace("z", "!")


def pieces(*more: str) -> T5Tokenizer:
    """Sentence pieces: the words and `more` whole, letters for all others, `P` and `!` in the place of q and z."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    words = [("▁" + word, -2.0) for word in (*tiny.WORDS, *more)]
    return T5Tokenizer(vocab=[*special, *words, *((letter, -6.0) for letter in LETTERS)], extra_ids=2)


def t5(model: Any = T5EncoderModel, config: Any = T5Config) -> Any:
    shape = {"d_model": T5_WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    return model(config(vocab_size=len(pieces()), feed_forward_proj="gated-gelu", **shape))


@seeded
def sd2() -> StableDiffusionPipeline:
    """What sets 2.x apart from 1.x: OpenCLIP's encoder, of an odd number of layers, for it has lost its last; linear
    layers around attention, with more heads in wider blocks; v-prediction; and padding with `!`."""
    unet = tiny.unet(attention_head_dim=(2, 4), use_linear_projection=True)
    scheduler: Any = DDIMScheduler(steps_offset=1, clip_sample=False, prediction_type="v_prediction")
    encoder = clip(layers=3, hidden_act="gelu")
    more: Any = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(tiny.vae(), encoder, bang_padded(), unet, scheduler, **more)


@seeded
def sdxl() -> StableDiffusionXLPipeline:
    unet = tiny.unet(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=tiny.WIDTH + SECOND,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZES // 6,
        projection_class_embeddings_input_dim=POOLED + SIZES,
    )
    encoders = clip(), clip(CLIPTextModelWithProjection, SECOND)
    scheduler: Any = DDIMScheduler(steps_offset=1, clip_sample=False)
    return StableDiffusionXLPipeline(tiny.vae(), *encoders, tiny.tokenizer(), bang_padded(), unet, scheduler)


@seeded
def sd3() -> StableDiffusion3Pipeline:
    transformer = SD3Transformer2DModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * POOLED,
        pos_embed_max_size=4,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    first, second = clip(CLIPTextModelWithProjection), clip(CLIPTextModelWithProjection, SECOND)
    readers = tiny.tokenizer(), bang_padded(), pieces()
    return StableDiffusion3Pipeline(
        transformer,
        FlowMatchEulerDiscreteScheduler(),
        tiny.vae(shift_factor=0.0),
        first,
        readers[0],
        second,
        readers[1],
        t5(),
        readers[2],
    )


@seeded
def flux() -> FluxPipeline:
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=tiny.WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    scheduler = FlowMatchEulerDiscreteScheduler()
    made = FluxPipeline(scheduler, tiny.vae(shift_factor=0.0), clip(), tiny.tokenizer(), t5(), pieces(), transformer)
    made.default_sample_size = 8
    return made


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking | default(true) %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def chat() -> Qwen2Tokenizer:
    """Bytes, most words whole within a text and at its beginning, and the template of a chat that thinks or not."""
    words = [*(start + word for start in ("Ġ", "") for word in tiny.WORDS), "user", "assistant", "ĊĊ"]
    merges: list[Any] = list(dict.fromkeys((word[:end], word[end]) for word in words for end in range(1, len(word))))
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys([*alphabet, *("".join(pair) for pair in merges), *special])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    made = Qwen2Tokenizer(vocab=vocabulary, merges=merges, additional_special_tokens=special[1:])
    made.chat_template = CHAT
    return made


def qwen3(words: Qwen2Tokenizer, layers: int) -> Qwen3Config:
    """Places hardly turn its attention."""
    return Qwen3Config(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=4,
        rope_parameters={"rope_type": "linear", "factor": 1e6, "rope_theta": 1e4},
    )


@seeded
def flux2_klein() -> Flux2KleinPipeline:
    """Its states are those of the layers 9, 18 and 27 of 512 tokens, so a prompt takes as long as hundreds elsewhere:
    it is none of `BUILDERS`, and has tests of its own with few prompts.

    Its 512 states of padding are more than its width could tell apart, if places turned its attention.
    """
    words = chat()
    encoder = Qwen3ForCausalLM(qwen3(words, layers=28))
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=False,
    )
    compressor = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    made = Flux2KleinPipeline(FlowMatchEulerDiscreteScheduler(), compressor, encoder, words, transformer)
    made.default_sample_size = 8
    return made


def telling(norm: Any) -> None:
    """Weights that are not those of every new norm."""
    nn.init.uniform_(norm.weight, 0.5, 2.0)


@seeded
def z_image() -> ZImagePipeline:
    """A compression that is only said to be large keeps its fixed size small."""
    words = chat()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 2, 2],
    )
    telling(transformer.cap_embedder[0])
    encoder = Qwen3Model(qwen3(words, layers=3))
    compressor, reader = tiny.vae(shift_factor=0.0), cast(AutoTokenizer, words)
    made = ZImagePipeline(FlowMatchEulerDiscreteScheduler(), compressor, encoder, reader, transformer)
    made.vae_scale_factor = 128
    return made


@seeded
def qwen_image() -> QwenImagePipeline:
    """It drops the chat up to the text, as with the real tokenizer."""
    words = chat()
    text = {"vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    turned = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "rope_parameters": turned}
    seen = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    encoder = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config={**text, **heads}, vision_config=seen))
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 2, 2),
    )
    telling(transformer.txt_norm)
    compressor = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    made = QwenImagePipeline(FlowMatchEulerDiscreteScheduler(), compressor, encoder, words, transformer)
    made.default_sample_size = 8
    made.prompt_template_encode_start_idx = len(words(made.prompt_template_encode.partition("{}")[0]).input_ids)
    return made


def spatial(**more: Any) -> dict[str, Any]:
    shape = {"sample_size": 4, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 4}
    return {**shape, "cross_attention_dim": tiny.WIDTH, "attention_head_dim": 2, **more}


@seeded
def unet3d() -> TextToVideoSDPipeline:
    blocks = {
        "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
        "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    }
    scheduler: Any = DDIMScheduler(clip_sample=False)
    return TextToVideoSDPipeline(
        tiny.vae(), clip(), tiny.tokenizer(), UNet3DConditionModel(**spatial(**blocks)), scheduler
    )


@seeded
def animatediff() -> AnimateDiffPipeline:
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    adapter = MotionAdapter(
        block_out_channels=(16, 32), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    unet = UNet2DConditionModel(**spatial(**blocks))
    return AnimateDiffPipeline(tiny.vae(), clip(), tiny.tokenizer(), unet, adapter, DDIMScheduler(clip_sample=False))


@seeded
def wan() -> WanPipeline:
    """Two transformers by turns, as in Wan 2.2."""
    return _wan(2, boundary_ratio=0.9)


@seeded
def wan_alone() -> WanPipeline:
    """One transformer, as in Wan 2.1."""
    return _wan(1)


def _wan(count: int, **more: Any) -> WanPipeline:
    """A compression that is only said to be large keeps the default size small."""
    shape: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 4,
        "out_channels": 4,
        "ffn_dim": 32,
    }
    shape |= {"text_dim": T5_WIDTH, "freq_dim": 16, "num_layers": 1}
    transformers: Any = [WanTransformer3DModel(**shape) for _ in range(count)]
    compressor = AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
        scale_factor_spatial=64,
    )
    reader: Any = pieces()
    encoder, scheduler = t5(UMT5EncoderModel, UMT5Config), FlowMatchEulerDiscreteScheduler()
    return WanPipeline(reader, encoder, compressor, scheduler, *transformers, **more)


@seeded
def ltx() -> LTXPipeline:
    return LTXPipeline(FlowMatchEulerDiscreteScheduler(), *_ltx())


@seeded
def ltx_condition() -> LTXConditionPipeline:
    """As of version 0.9.5."""
    return LTXConditionPipeline(FlowMatchEulerDiscreteScheduler(), *_ltx())


def _ltx() -> Any:
    """A compression that is only said to be large keeps the default size small."""
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=T5_WIDTH,
    )
    compressor = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8,),
        down_block_types=("LTXVideoDownBlock3D",),
        decoder_block_out_channels=(8,),
        layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("conv",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        patch_size=1,
        spatial_compression_ratio=128,
        temporal_compression_ratio=8,
    )
    return compressor, t5(), pieces(), transformer


@seeded
def cogvideox() -> CogVideoXPipeline:
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=T5_WIDTH,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=1,
    )
    levels: dict[str, Any] = {
        "down_block_types": ("CogVideoXDownBlock3D",) * 2,
        "up_block_types": ("CogVideoXUpBlock3D",) * 2,
        "block_out_channels": (8, 8),
    }
    compressor = AutoencoderKLCogVideoX(
        **levels, latent_channels=4, layers_per_block=1, norm_num_groups=2, temporal_compression_ratio=2
    )
    return CogVideoXPipeline(pieces(), t5(), compressor, transformer, CogVideoXDDIMScheduler())


@seeded
def cogview3() -> CogView3PlusPipeline:
    transformer = CogView3PlusTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=T5_WIDTH,
        time_embed_dim=8,
        condition_dim=4,
        pos_embed_max_size=4,
        sample_size=4,
    )
    return CogView3PlusPipeline(pieces(), t5(), tiny.vae(), transformer, CogVideoXDDIMScheduler())


@seeded
def aura_flow() -> AuraFlowPipeline:
    """A compression that is only said to be large keeps its fixed size small; gates that are wide open let text through
    that is short beside its padding."""
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=T5_WIDTH,
        pos_embed_max_size=16,
    )
    for name, weight in transformer.named_parameters():
        if ".norm1." in name:
            weight.data *= 30
    encoder = t5(UMT5EncoderModel, UMT5Config)
    made = AuraFlowPipeline(pieces(), encoder, tiny.vae(), transformer, FlowMatchEulerDiscreteScheduler())
    made.vae_scale_factor = 128
    return made


BUILDERS: dict[str, Callable[[], Any]] = {
    "sd2": sd2,
    "sdxl": sdxl,
    "sd3": sd3,
    "flux": flux,
    "unet3d": unet3d,
    "animatediff": animatediff,
    "wan": wan,
    "ltx": ltx,
    "ltx-condition": ltx_condition,
    "cogvideox": cogvideox,
    "cogview3-plus": cogview3,
    "aura-flow": aura_flow,
}
