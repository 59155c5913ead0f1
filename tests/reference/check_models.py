"""Asserts that models.py computes what the official packages compute, on random weights. Writes no fixture.

- Denoiser = diffusers' FluxTransformer2DModel, through diffusers' own converter for FLUX checkpoints: unmodified in
  float32, and in float64 with diffusers' casts to float32 disabled.
- Autoencoder = diffusers' AutoencoderKL, through diffusers' own converter, float64.
- LoRALinear = peft on transformers' CLIPVisionModelWithProjection, outputs and gradients, float64, dropout included.
- schedule = diffusers' FlowMatchEulerDiscreteScheduler; pack = diffusers' FluxPipeline; parameter counts as published.
"""
import inspect
from unittest import mock

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.loaders import single_file_utils
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from peft import LoraConfig, get_peft_model
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import models
from common import error, randomise


def expect(name, value, limit):
    print(f"{name:58} {value:9.2e}  (limit {limit:.0e})")
    assert value <= limit, name


def official_denoiser(ours, c):
    hidden = c["hidden"]
    source = inspect.getsource(single_file_utils.convert_flux_transformer_checkpoint_to_diffusers)
    source = source.replace("inner_dim = 3072", f"inner_dim = {hidden}").replace("mlp_ratio = 4.0", f"mlp_ratio = {c['mlp_ratio']}")
    scope = dict(vars(single_file_utils))
    exec(source, scope)
    converted = scope["convert_flux_transformer_checkpoint_to_diffusers"](dict(ours.state_dict()))
    model = FluxTransformer2DModel(
        in_channels=64, num_layers=c["double_blocks"], num_single_layers=c["single_blocks"],
        attention_head_dim=hidden // c["heads"], num_attention_heads=c["heads"], joint_attention_dim=c["context_width"],
        pooled_projection_dim=c["vector_width"], guidance_embeds=True, axes_dims_rope=tuple(c["rope_axes"]),
    )
    model.load_state_dict(converted)
    return model


class ExactTime(torch.nn.Module):
    """diffusers' Timesteps with the last bits of our frequencies. Its argument already includes the factor 1000."""

    def forward(self, t):
        return models.sincos(t / 1000)


def check_denoiser():
    c = dict(double_blocks=2, single_blocks=2, hidden=64, heads=2, mlp_ratio=4.0, rope_axes=[8, 12, 12],
             context_width=72, vector_width=56, guidance=4.0)
    for dtype, limit, label in ((torch.float32, 2e-5, "float32, unmodified"), (torch.float64, 1e-12, "float64, no casts")):
        ours = randomise(models.Denoiser(c), 1).to(dtype)
        official = official_denoiser(ours, c).to(dtype)
        g = torch.Generator().manual_seed(2)
        x, vec, txt = (torch.randn(s, generator=g, dtype=dtype) for s in ((2, 25, 64), (2, 56), (2, 3, 72)))
        t = torch.tensor([0.137, 0.861], dtype=dtype)
        ids = models.token_ids(3, 5).to(dtype)
        run = lambda: official(
            hidden_states=x, encoder_hidden_states=txt, pooled_projections=vec, timestep=t, img_ids=ids[3:],
            txt_ids=ids[:3], guidance=torch.full((2,), 4.0, dtype=dtype), return_dict=False)[0]
        expect("time embedding against diffusers", error(models.sincos(t), official.time_text_embed.time_proj(1000 * t)), 1e-4)
        if dtype == torch.float64:
            official.time_text_embed.time_proj = ExactTime()
            with mock.patch.object(torch.Tensor, "float", lambda self: self):
                theirs = run()
                theirs.square().sum().backward()
        else:
            theirs = run()
            theirs.square().sum().backward()
        mine = ours(x, t, vec, txt)
        mine.square().sum().backward()
        expect(f"denoiser, {label}", error(mine, theirs), limit)
        mine_g = {k: p.grad for k, p in ours.named_parameters()}
        theirs_g = dict(official.named_parameters())
        pairs = (("img_in.weight", "x_embedder.weight"), ("txt_in.weight", "context_embedder.weight"),
                 ("guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight"),
                 ("double_blocks.0.txt_attn.norm.key_norm.scale", "transformer_blocks.0.attn.norm_added_k.weight"))
        for a, b in pairs:
            expect(f"denoiser gradient {a[:36]}, {label[:7]}", error(mine_g[a], theirs_g[b].grad), 10 * limit)


def check_autoencoder():
    ours = randomise(models.Autoencoder(32, (1, 2, 4, 4)), 3)
    ours = ours.double()
    official = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128), layers_per_block=2, latent_channels=16,
        use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611).double()
    converted = single_file_utils.convert_ldm_vae_checkpoint(dict(ours.state_dict()), official.config)
    official.load_state_dict(converted)
    g = torch.Generator().manual_seed(4)
    images = torch.rand(2, 3, 48, 64, generator=g, dtype=torch.float64)
    noise = torch.randn(2, 16, 6, 8, generator=g, dtype=torch.float64)
    posterior = official.encode(2 * images - 1).latent_dist
    theirs = (posterior.mean + posterior.std * noise - official.config.shift_factor) * official.config.scaling_factor
    mine = ours.encode(images, noise)
    expect("autoencoder, latents, float64", error(mine, theirs), 1e-12)
    decoded = official.decode(theirs / official.config.scaling_factor + official.config.shift_factor).sample
    expect("autoencoder, decoded, float64", error(ours.decode(mine), decoded), 1e-12)
    expect("pack against FluxPipeline", error(models.pack(mine), FluxPipeline._pack_latents(mine, 2, 16, 6, 8)), 0)
    square = torch.randn(2, 16, 6, 6)
    expect("unpack inverts pack", error(models.unpack(models.pack(square)), square), 0)


def check_lora():
    config = CLIPVisionConfig(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=112,
                              image_size=64, patch_size=16, projection_dim=40, attn_implementation="sdpa")
    build = lambda: randomise(CLIPVisionModelWithProjection(config), 5).double()
    peft = get_peft_model(build(), LoraConfig(r=4, lora_alpha=6, lora_dropout=0.1, bias="lora_only", target_modules="all-linear"))
    ours = models.add_lora(build(), 4, 6, 0.1).double()
    theirs = {k.replace("base_model.model.", "").replace(".default", "").replace(".base_layer", ""): p
              for k, p in peft.named_parameters() if p.requires_grad}
    mine = {k: p for k, p in ours.named_parameters() if p.requires_grad}
    assert set(mine) == set(theirs) and "visual_projection.lora_A.weight" in mine
    for i, name in enumerate(sorted(mine)):
        value = 0.2 * torch.randn(mine[name].shape, generator=torch.Generator().manual_seed(i)).double()
        mine[name].data.copy_(value)
        theirs[name].data.copy_(value.clone())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(9)).double()
    masks = {}
    for dropout in (False, True):
        if dropout:  # replaces peft's dropout modules by given masks, scaled as in nn.Dropout
            for name, module in ours.named_modules():
                if isinstance(module, models.LoRALinear):
                    shape = (2, 17, module.weight.shape[1]) if name != "visual_projection" else (2, module.weight.shape[1])
                    module.mask = masks[name] = (torch.rand(shape) > 0.1).double()
            for name, module in peft.base_model.model.named_modules():
                if name in masks:
                    module.lora_dropout["default"] = Scaled(masks[name] / 0.9)
        out = [model(pixel_values=images).image_embeds for model in (ours, peft.eval())]
        expect(f"LoRA, output, dropout {dropout}", error(*out), 1e-12)
        for value in out:
            value.square().sum().backward()
        # A key's bias cannot change a softmax: its gradient is zero up to rounding in both.
        worst = max(error(mine[k].grad, theirs[k].grad) for k in mine if not k.endswith("k_proj.bias"))
        expect(f"LoRA, worst gradient, dropout {dropout}", worst, 1e-10)
        expect("LoRA, gradient of k_proj.bias", max(mine[k].grad.abs().max().item() for k in mine if k.endswith("k_proj.bias")), 1e-12)
        for p in (*mine.values(), *theirs.values()):
            p.grad = None
    eager = CLIPVisionModelWithProjection(CLIPVisionConfig(**{**config.to_dict(), "attn_implementation": "eager"}))
    eager.load_state_dict(build().state_dict())
    float_sdpa = build().float()
    expect("eager against sdpa attention, float32", error(eager.float()(pixel_values=images.float()).image_embeds,
                                                        float_sdpa(pixel_values=images.float()).image_embeds), 1e-5)


class Scaled(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def check_schedule():
    for tokens in (16, 196, 576):
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
        scheduler.set_timesteps(sigmas=[1 - i / 20 for i in range(20)], mu=calculate_shift(tokens))
        expect(f"schedule, {tokens} tokens", error(models.schedule(20, tokens), scheduler.sigmas.double()), 1e-6)


def check_counts():
    full = dict(double_blocks=2, single_blocks=4, hidden=3072, heads=24, mlp_ratio=4.0, rope_axes=[16, 56, 56],
                context_width=4096, vector_width=768, guidance=4.0)
    with torch.device("meta"):
        denoiser, autoencoder = models.Denoiser(full), models.Autoencoder(128, (1, 2, 4, 4))
        t5, clip = models.projector(768, 4096), models.projector(768, 768)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert (count(denoiser), len(list(denoiser.parameters()))) == (1310154816, 100)
    assert (count(autoencoder), count(autoencoder.encoder), len(list(autoencoder.parameters()))) == (83819683, 34274208, 244)
    assert (count(clip), count(t5)) == (1182720, 19932672)
    print("parameter counts as published")


if __name__ == "__main__":
    torch.manual_seed(0)
    check_counts()
    check_denoiser()
    check_autoencoder()
    check_lora()
    check_schedule()
    print("models.py equals the official modules")
