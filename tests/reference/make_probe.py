"""Makes tests/fixtures/probe: the expected results of `genhance probe` for three tiny settings and several kinds of run.

Each setting is a folder in the users' formats: a Hugging Face CLIP folder, an autoencoder and a denoiser in FLUX's
layout, a PEFT adapter saved by peft. `cases.txt` lists the cases, one per line: name, stage, configuration, inputs,
expected. See tests/fixtures/README.md for the layout.

  tiny   heads of 12 and 16, 64-pixel images; float32 weights, autoencoder in bf16
  siglip a SigLIP: 80-pixel images of which patches of 12 cover 72, pooling head, float32
  edges  sizes that straddle tile edges: heads of 20 and 40, 26 vision tokens, 25 latents, 3 samples, gelu; weights in f16

and two settings of the discrete denoiser, on the encoders of tiny and siglip:

  masked         16 codes per picture of 53, cross-attention in every layer, float32
  masked-siglip  25 codes per picture of 53, cross-attention once, float16
"""
import copy
import json
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

import common
import models
import vqgan
from common import FIXTURES, generator

TINY = {
    "vision": dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=112, image_size=64,
                   patch_size=8, hidden_act="quick_gelu"),
    "text": dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=56, vocab_size=99,
                 max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=97, eos_token_id=98, pad_token_id=0),
    "projection": 40,
    "denoiser": dict(kind="continuous", double_blocks=2, single_blocks=2, hidden=32, heads=2, mlp_ratio=4.0,
                     rope_axes=[4, 6, 6], context_width=72, vector_width=56, guidance=4.0, weights="denoiser.safetensors"),
    "lora": dict(rank=4, alpha=6, dropout=0.1, bias="lora_only", targets="all-linear", adapter="adapter"),
    "autoencoder": "ae.safetensors",
}
EDGES = {
    "vision": dict(hidden_size=60, num_hidden_layers=2, num_attention_heads=3, intermediate_size=100, image_size=80,
                   patch_size=16, hidden_act="gelu"),
    "text": dict(hidden_size=20, num_hidden_layers=1, num_attention_heads=1, intermediate_size=36, vocab_size=67,
                 max_position_embeddings=16, hidden_act="gelu", bos_token_id=65, eos_token_id=66, pad_token_id=0),
    "projection": 33,
    "denoiser": dict(kind="continuous", double_blocks=1, single_blocks=1, hidden=80, heads=2, mlp_ratio=2.0,
                     rope_axes=[8, 16, 16], context_width=70, vector_width=50, guidance=2.5, weights="denoiser.safetensors"),
    "lora": dict(rank=3, alpha=5, dropout=0.25, bias="lora_only", targets="all-linear", adapter="adapter"),
    "autoencoder": "../tiny/ae.safetensors",
}
SIGLIP = {
    "family": "siglip",
    "vision": dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=100, image_size=80,
                   patch_size=12),
    "text": dict(hidden_size=36, num_hidden_layers=1, num_attention_heads=2, intermediate_size=60, vocab_size=70,
                 max_position_embeddings=16, projection_size=48),
    "projection": 48,
    "denoiser": dict(kind="continuous", double_blocks=1, single_blocks=1, hidden=32, heads=2, mlp_ratio=4.0,
                     rope_axes=[4, 6, 6], context_width=52, vector_width=44, guidance=4.0, weights="denoiser.safetensors"),
    "lora": dict(rank=4, alpha=6, dropout=0.1, bias="lora_only", targets="all-linear", adapter="adapter"),
    "autoencoder": "../tiny/ae.safetensors",
}
MASKED = {
    **TINY, "clip": "../tiny/clip", "adapter": "../tiny/adapter", "autoencoder": "vqgan.safetensors",
    "denoiser": dict(kind="discrete", layers=2, hidden=48, heads=3, weights="denoiser.safetensors"),
}
MASKED_SIGLIP = {
    **SIGLIP, "clip": "../siglip/clip", "adapter": "../siglip/adapter", "autoencoder": "../masked/vqgan.safetensors",
    "denoiser": dict(kind="discrete", layers=2, hidden=40, heads=2, cross_attention="once", weights="denoiser.safetensors"),
}


def run_config(setting, **changes):
    """A run's configuration; keys left out take their defaults. Paths are relative to the setting's folder."""
    continuous = setting["denoiser"]["kind"] == "continuous"
    config = {
        "version": 1,
        "clip": setting.get("clip", "clip"),
        "autoencoder": setting["autoencoder"],
        "denoiser": copy.deepcopy(setting["denoiser"]),
        "condition": {"local_tokens": changes.get("local_tokens", 0.0)},
        **({"timestep": {"convention": changes.get("convention", "noise_at_one")}} if continuous else {}),
        "data": {"images": ["images"]},
        "stage1": {"steps": 10, "batch": 2, "micro_batch": 2},
        "stage2": {"steps": 10, "batch": 2, "micro_batch": 2, "train_denoiser": False,
                   "lora": {**setting["lora"], "adapter": setting.get("adapter", "adapter")}},
        "output": "run",
    }
    config["denoiser"].update(changes.get("denoiser", {}))
    config["stage2"].update(copy.deepcopy(changes.get("stage2", {})))
    if "lora" in changes:
        config["stage2"]["lora"].update(changes["lora"])
    return config


def save_autoencoder(path):
    """Channels 32 and multipliers 1,2,1,1: groups of one and two channels, and shortcuts both ways, in a small model."""
    ae = common.randomise(models.Autoencoder(32, (1, 2, 1, 1)), 11)
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in ae.state_dict().items()}, path)


CODES, VECTOR = 53, 24  # of the small codebook: a prime number of rows


def save_vqgan(path):
    """Channels 32 throughout, one residual block per level; five levels, so that a code covers 16 x 16 pixels."""
    model = common.randomise(vqgan.VQGAN(32, (1, 1, 1, 1, 1), 1, 32, VECTOR, CODES), 21)
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}, path)


def save_adapter(folder, clip, lora, seed):
    """peft makes, fills and saves the adapter; its values are random, including B and the biases."""
    config = LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], bias=lora["bias"],
                        target_modules=lora["targets"])
    model = get_peft_model(common.load_vision(clip), config)
    g = generator(seed)
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data.copy_(torch.randn(p.shape, generator=g) * (0.2 if name.endswith("bias") else p.shape[-1] ** -0.5))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["target_modules"].sort()  # peft keeps a set: its order changes from run to run
    saved["base_model_name_or_path"] = "clip"
    common.write_json(path, saved)


def check_adapter(folder, setting):
    """peft's own reading of the saved adapter gives the same embedding as the reference."""
    step = common.Step(run_config(setting), folder)
    step.trained(2)
    theirs = PeftModel.from_pretrained(common.load_vision(folder / "clip"), folder / "adapter").double().eval()
    size = theirs.config.image_size
    pixels = torch.randn(2, 3, size, size, generator=generator(3)).double()
    value = common.error(step.double().embed(pixels)[0], theirs(pixel_values=pixels).image_embeds)
    assert value < 1e-12, value


def inputs_for(size, batch, seed):
    g = generator(seed)
    side = size // 8
    return {
        "images": common.pictures(batch, size, seed + 1),
        "latent_noise": torch.randn(batch, 16, side, side, generator=g),
        "noise": torch.randn(batch, side * side // 4, 64, generator=g),
        "t": torch.sigmoid(torch.linspace(-1.5, 1.5, batch) + 0.3 * torch.randn(batch, generator=g)),
    }


def dropout_masks(setting, batch, rate, seed):
    """Masks for some layers only: the others keep everything. 1 keeps an element, 0 drops it."""
    g, vision, siglip = generator(seed), setting["vision"], "family" in setting
    tokens = (vision["image_size"] // vision["patch_size"]) ** 2 + (not siglip)
    hidden, mlp = vision["hidden_size"], vision["intermediate_size"]
    layer = "vision_model.encoder.layers.{}.{}"
    shapes = {layer.format(0, "self_attn.q_proj"): (tokens, hidden), layer.format(0, "self_attn.v_proj"): (tokens, hidden),
              layer.format(1, "self_attn.out_proj"): (tokens, hidden), layer.format(1, "mlp.fc2"): (tokens, mlp),
              **({"vision_model.head.mlp.fc2": (1, mlp)} if siglip else {"visual_projection": (hidden,)})}
    return {f"dropout_mask.{name}.lora_A.weight": (torch.rand(batch, *shape, generator=g) >= rate).float()
            for name, shape in shapes.items()}


def continuous_inputs(setting, batch, seed, inputs_seed):
    vision = setting["vision"]
    inputs = {"inputs": inputs_for(vision["image_size"], batch, inputs_seed)}
    small = {k: v[:1] for k, v in inputs["inputs"].items()}
    inputs["inputs-dropout"] = {**small, **dropout_masks(setting, 1, setting["lora"]["dropout"], seed + 6)}
    # SigLIP gets them too, like CLIP.
    pixels = (small["images"] - torch.tensor(common.MEAN)[:, None, None]) / torch.tensor(common.STD)[:, None, None]
    latents = torch.randn(small["noise"].shape, generator=generator(seed + 7))
    inputs["inputs-given"] = {"pixel_values": pixels, "latents": latents, "noise": small["noise"], "t": small["t"]}
    # 19 of 64 patch tokens (30 %: 19.2), different ones in each sample, unordered.
    order = torch.stack([torch.randperm((vision["image_size"] // vision["patch_size"]) ** 2, generator=generator(seed + 8 + b))
                         for b in range(batch)])
    inputs["inputs-local"] = {**inputs["inputs"], "local_index": order[:, :19].to(torch.int32)}
    # Small arguments of the time embedding's sines, which float32 barely rounds: the sharpest test of everything else.
    inputs["inputs-sharp"] = {**small, "t": torch.tensor([3 / 512])}
    return inputs


def mask_of(counts, positions, seed):
    """(B, N): counts[b] random positions of each sample are 1."""
    g = generator(seed)
    order = torch.stack([torch.randperm(positions, generator=g) for _ in counts])
    return (order < torch.tensor(counts)[:, None]).to(torch.int64)


def masked_inputs(setting, batch, seed, inputs_seed):
    """Masks at both ends of the default ratio, and at both ends of what can be masked, in different integer types."""
    vision = setting["vision"]
    n = (vision["image_size"] // 16) ** 2
    images = common.pictures(batch, vision["image_size"], inputs_seed)
    mask = mask_of([round(0.5 * n), round(0.9 * n)], n, seed + 5)
    pixels = (images - torch.tensor(common.MEAN)[:, None, None]) / torch.tensor(common.STD)[:, None, None]
    codes = torch.randint(0, CODES, (batch, n), generator=generator(seed + 6))
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    order = torch.stack([torch.randperm(patches, generator=generator(seed + 8 + b)) for b in range(batch)])
    return {
        "inputs": {"images": images, "mask": mask},
        "inputs-ends": {"images": images, "mask": mask_of([1, n - 1], n, seed + 9).to(torch.uint8)},
        "inputs-given": {"pixel_values": pixels, "codes": codes.to(torch.int16), "mask": mask.to(torch.int32)},
        "inputs-codes": {"images": images, "codes": codes, "mask": mask.to(torch.int16)},
        "inputs-dropout": {"images": images[:1], "mask": mask[:1], **dropout_masks(setting, 1, setting["lora"]["dropout"], seed + 7)},
        "inputs-local": {"images": images, "mask": mask, "local_index": order[:, :19].to(torch.int32)},
    }


def save_models(folder, setting, seed, dtype):
    """Writes what the setting does not share with another."""
    vision = setting["vision"]
    if "clip" not in setting:
        if "family" in setting:
            common.save_siglip(folder / "clip", vision, setting["text"], seed, dtype)
        else:
            common.save_clip(folder / "clip", vision, setting["text"], setting["projection"], seed, dtype)
        save_adapter(folder / "adapter", folder / "clip", setting["lora"], seed + 3)
    if setting["autoencoder"] == "ae.safetensors":
        save_autoencoder(folder / "ae.safetensors")
    if setting["autoencoder"] == "vqgan.safetensors":
        save_vqgan(folder / "vqgan.safetensors")
    if setting["denoiser"]["kind"] == "continuous":
        common.save_denoiser(folder / "denoiser.safetensors", setting["denoiser"], setting["projection"], seed + 1, dtype)
    else:
        common.save_perceiver(folder / "denoiser.safetensors", setting["denoiser"], setting["projection"],
                              (VECTOR, (vision["image_size"] // 16) ** 2, CODES), seed + 1, dtype)
    if "clip" not in setting:
        check_adapter(folder, setting)


def make(name, setting, seed, inputs_seed, batch, dtype, cases):
    folder = FIXTURES / "probe" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_models(folder, setting, seed, dtype)
    make_inputs = continuous_inputs if setting["denoiser"]["kind"] == "continuous" else masked_inputs
    inputs = make_inputs(setting, batch, seed, inputs_seed)
    lines = []
    for case, stage, source, largest, changes in cases:
        config = run_config(setting, **changes)
        common.write_json(folder / f"{case}.json", config)
        save_file(inputs[source], folder / f"{source}.safetensors")
        result = common.expected(config, folder, stage, inputs[source], largest)
        save_file(result, folder / f"{case}.expected.safetensors")
        lines.append(f"{case} {stage} {case}.json {source}.safetensors {case}.expected.safetensors\n")
        worst = max((result["error." + k].item() / v.abs().max().item(), k) for k, v in result.items()
                    if "error." + k in result and not k.endswith(common.KEY_BIASES))
        print(f"{name}/{case}: loss {result['loss'].item():.4f}, gradient norm {result['grad_norm'].item():.3f}, "
              f"{len(result) // 2} tensors, float32's worst relative error {worst[0]:.1e} ({worst[1]})")
        assert worst[0] < 2e-5, "badly conditioned: change inputs_seed"
    (folder / "cases.txt").write_text("".join(lines))


if __name__ == "__main__":
    only = sys.argv[1:] or ["tiny", "edges", "siglip", "masked", "masked-siglip"]
    # case, stage, inputs, largest gradient kept, differences from the default run
    "tiny" in only and make("tiny", TINY, 100, 104, 2, torch.float32, [
        ("stage1", 1, "inputs", None, {}),
        ("stage1-data_at_one", 1, "inputs", 512, {"convention": "data_at_one"}),
        ("stage1-given", 1, "inputs-given", 512, {}),
        ("stage2-only", 2, "inputs", None, {}),
        ("stage2-all", 2, "inputs", 1024, {"stage2": {"train_denoiser": True}}),
        ("stage2-direct", 2, "inputs", 6000, {"stage2": {"lora": None}}),
        ("stage2-dropout", 2, "inputs-dropout", None, {}),
        ("stage2-local", 2, "inputs", 1024, {"local_tokens": 100.0, "stage2": {"train_denoiser": True}}),
        ("stage2-biases", 2, "inputs", 128, {"lora": {"bias": "all"}}),
        ("stage2-some", 2, "inputs-local", 256, {"local_tokens": 30.0, "stage2": {"train_denoiser": True}}),
    ])
    "edges" in only and make("edges", EDGES, 200, 208, 3, torch.float16, [
        ("stage1", 1, "inputs", 6000, {}),
        ("stage1-sharp", 1, "inputs-sharp", 600, {"denoiser": {"guidance": 1 / 512}}),
        ("stage2-all", 2, "inputs", 1024, {"stage2": {"train_denoiser": True}}),
        ("stage2-direct", 2, "inputs", 1024, {"convention": "data_at_one", "stage2": {"lora": None}}),
        ("stage2-dropout", 2, "inputs-dropout", None, {}),
    ])
    "siglip" in only and make("siglip", SIGLIP, 300, 304, 2, torch.float32, [
        ("stage1", 1, "inputs", 2600, {}),
        ("stage2-only", 2, "inputs", None, {}),
        ("stage2-direct", 2, "inputs", 7000, {"stage2": {"lora": None}}),
        ("stage2-dropout", 2, "inputs-dropout", 512, {}),
        ("stage2-local", 2, "inputs", 512, {"local_tokens": 100.0}),
        ("stage2-biases", 2, "inputs", 150, {"lora": {"bias": "all"}}),
    ])
    "masked" in only and make("masked", MASKED, 400, 404, 2, torch.float32, [
        ("stage1", 1, "inputs", 2600, {}),
        ("stage1-ends", 1, "inputs-ends", 512, {}),
        ("stage1-given", 1, "inputs-given", 512, {}),
        ("stage1-codes", 1, "inputs-codes", 512, {}),
        ("stage2-only", 2, "inputs", None, {}),
        ("stage2-all", 2, "inputs", 1024, {"stage2": {"train_denoiser": True}}),
        ("stage2-direct", 2, "inputs-ends", 6000, {"stage2": {"lora": None}}),
        ("stage2-dropout", 2, "inputs-dropout", 512, {}),
        ("stage2-some", 2, "inputs-local", 256, {"local_tokens": 30.0, "stage2": {"train_denoiser": True}}),
    ])
    "masked-siglip" in only and make("masked-siglip", MASKED_SIGLIP, 500, 504, 2, torch.float16, [
        ("stage1", 1, "inputs", 2600, {}),
        ("stage1-ends", 1, "inputs-ends", 512, {}),
        ("stage2-only", 2, "inputs", None, {}),
        ("stage2-direct", 2, "inputs", 6000, {"stage2": {"lora": None}}),
        ("stage2-local", 2, "inputs-ends", 512, {"local_tokens": 100.0}),
    ])
