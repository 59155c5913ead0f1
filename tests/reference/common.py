"""Shared by the fixture makers: random weights, the users' file formats, and one training step.

A step is computed twice from the same float32 numbers: in float64, which gives the expected values, and in float32,
whose distance from them gives the tolerance for a correct float32 implementation.
"""
import json
import math
import pathlib

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection
from transformers import SiglipConfig, SiglipModel, SiglipPreTrainedModel, SiglipVisionConfig, SiglipVisionModel

import models
import perceiver
import vqgan

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]

torch.set_num_threads(1)  # summation order, and so the last bits, must not depend on the machine


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomise(module, seed):
    """Every parameter is random: weights preserve the variance; scales are in 0.6..1.4, biases about 0.2."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() > 1:
                value = torch.randn(p.shape, generator=g) / math.sqrt(p[0].numel())
            elif name.endswith(("scale", "weight")):
                value = 0.6 + 0.8 * torch.rand(p.shape, generator=g)
            else:
                value = 0.2 * torch.randn(p.shape, generator=g)
            p.copy_(value.to(p.dtype))
    return module


def error(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def pictures(batch, size, seed):
    """(batch, 3, size, size) in [0, 1]: blurred shapes with some grain, because models do not expect white noise."""
    g = generator(seed)
    coarse = torch.rand(batch, 3, 5, 5, generator=g)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    return (smooth + 0.08 * torch.randn(batch, 3, size, size, generator=g)).clamp(0, 1)


# --- files ----------------------------------------------------------------------------------------------------------
def save_clip(folder, vision, text, projection, seed, dtype):
    """A CLIP folder with both towers, in one of the two forms of published folders.

    In the second the embeddings and the projection are small, as in real models: there the eps of the following norms
    matters. float32: as written by the current library, but image sizes are plain numbers in the preprocessor's file (OpenAI's).
    float16: sizes are objects, config.json omits the eps, and the file still holds the int64
    `position_ids` that older versions of the library saved.
    """
    config = CLIPConfig(vision_config={**vision, "projection_dim": projection},
                        text_config={**text, "projection_dim": projection}, projection_dim=projection)
    model = randomise(CLIPModel(config), seed)
    model.logit_scale.data.fill_(3.7)
    old_style = dtype == torch.float32
    if not old_style:
        for p in (*model.vision_model.embeddings.parameters(), *model.visual_projection.parameters()):
            p.data *= 0.03
    model.to(dtype).save_pretrained(folder)
    if not old_style:
        saved = json.loads((folder / "config.json").read_text())
        for tower in ("vision", "text"):
            del saved[f"{tower}_config"]["layer_norm_eps"]
        write_json(folder / "config.json", saved)
        tensors = load_file(folder / "model.safetensors")
        for tower in ("vision", "text"):
            positions = tensors[f"{tower}_model.embeddings.position_embedding.weight"].shape[0]
            tensors[f"{tower}_model.embeddings.position_ids"] = torch.arange(positions)[None]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    size = vision["image_size"]
    crop = size if old_style else {"height": size, "width": size}
    write_json(folder / "preprocessor_config.json", {
        "crop_size": crop, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "image_mean": MEAN, "image_std": STD, "resample": 3, "size": size if old_style else {"shortest_edge": size}})


def save_siglip(folder, vision, text, seed, dtype):
    """A SigLIP folder with both towers. The file omits eps and activation: the classes' defaults apply."""
    model = randomise(SiglipModel(SiglipConfig(vision_config=vision, text_config=text)), seed)
    model.logit_scale.data.fill_(4.1)
    model.logit_bias.data.fill_(-9.3)
    for p in model.vision_model.embeddings.parameters():  # small, as in real models: there the eps of the norms matters
        p.data *= 0.05
    model.to(dtype).save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    for tower in ("vision", "text"):
        for key in ("layer_norm_eps", "hidden_act"):
            del saved[f"{tower}_config"][key]
    write_json(folder / "config.json", saved)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    write_json(folder / "preprocessor_config.json", {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "image_processor_type": "SiglipImageProcessor", "resample": 3, "rescale_factor": 1 / 255, "size": size})


class SiglipVision(SiglipPreTrainedModel):
    """The vision tower under the whole model's names, with the interface of CLIP's."""

    config_class, base_model_prefix = SiglipVisionConfig, ""

    def __init__(self, config):
        super().__init__(config)
        self.vision_model = SiglipVisionModel(config)

    def forward(self, pixel_values):
        out = self.vision_model(pixel_values=pixel_values)
        out.image_embeds = out.pooler_output
        return out


def is_siglip(folder):
    return json.loads((folder / "config.json").read_text())["model_type"] == "siglip"


def load_vision(folder):
    """The vision tower and its projection. sdpa attention, because the eager one rounds the softmax to float32."""
    if is_siglip(folder):
        config = SiglipConfig.from_pretrained(folder).vision_config
        config._attn_implementation = "sdpa"
        model = SiglipVision(config)
        wanted = model.state_dict().keys()
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({k: v for k, v in tensors.items() if k in wanted})
        return model
    config = CLIPConfig.from_pretrained(folder)
    config.vision_config.projection_dim = config.projection_dim
    config.vision_config._attn_implementation = "sdpa"
    model = CLIPVisionModelWithProjection(config.vision_config)
    wanted = model.state_dict().keys()
    model.load_state_dict({k: v for k, v in load_file(folder / "model.safetensors").items() if k in wanted})
    return model


def save_denoiser(path, c, embedding, seed, dtype):
    """Denoiser and projectors in one file."""
    denoiser = randomise(models.Denoiser(c), seed)
    heads = nn.ModuleDict({"project_clip": models.projector(embedding, c["vector_width"]),
                           "project_t5": models.projector(embedding, c["context_width"])})
    tensors = {**denoiser.state_dict(), **randomise(heads, seed + 1).state_dict()}
    save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()}, path)


def save_perceiver(path, c, embedding, sizes, seed, dtype):
    """Discrete denoiser and projector in one file. sizes: width of a code's vector, positions, codes."""
    denoiser = randomise(perceiver.Perceiver(c, *sizes), seed)
    head = randomise(nn.ModuleDict({"project_condition": models.projector(embedding, c["hidden"])}), seed + 1)
    save_file({k: v.to(dtype).contiguous() for k, v in {**denoiser.state_dict(), **head.state_dict()}.items()}, path)


def adapter_tensors(folder):
    """A PEFT adapter's tensors under this project's names (the biases lose peft's `base_layer.`)."""
    file = load_file(folder / "adapter_model.safetensors")
    return {k.removeprefix("base_model.model.").replace(".base_layer.", "."): v for k, v in file.items()}


KEY_BIASES = ("k_proj.bias", "cross_attn.k.bias")  # endings of parameters whose gradient is only rounding noise


# --- one training step ----------------------------------------------------------------------------------------------
class Step(nn.Module):
    """The models of one run: `trained(stage)` selects the parameters; calling the object computes a step."""

    def __init__(self, config, folder):
        super().__init__()
        self.config = config
        self.siglip = is_siglip(folder / config["clip"])
        self.encoder = load_vision(folder / config["clip"])
        width = self.encoder.config.hidden_size if self.siglip else self.encoder.visual_projection.out_features
        kind = Discrete if config["denoiser"]["kind"] == "discrete" else Continuous
        self.objective = kind(config, folder, width, self.encoder.config.image_size)
        self.objective.load(load_file(folder / config["denoiser"]["weights"]))
        self.folder = folder

    def trained(self, stage):
        """Prepares a stage: returns {public name: parameter} of the trained parameters and freezes everything else."""
        heads = self.objective.parts()
        lora = self.config["stage2"]["lora"]
        trains_denoiser = stage == 1 or self.config["stage2"]["train_denoiser"]
        self.encoder.requires_grad_(stage == 2)
        if stage == 2 and lora:
            models.add_lora(self.encoder, lora["rank"], lora["alpha"], lora["dropout"])
            missing, unexpected = self.encoder.load_state_dict(adapter_tensors(self.folder / lora["adapter"]), strict=False)
            assert all("head.attention.out_proj.lora_" in name for name in unexpected)  # peft wraps it without effect
        if stage == 2 and lora and lora["bias"] == "all":
            for name, p in self.encoder.named_parameters():
                p.requires_grad_(p.requires_grad or name.endswith("bias"))
        for _, module in heads:
            module.requires_grad_(trains_denoiser)
        groups = heads + [("", self.encoder)]
        return {prefix + k: p for prefix, module in groups for k, p in module.named_parameters() if p.requires_grad}

    def embed(self, pixels):
        """The class token's embedding (B, D) and, after the same norm and projection, those of the patches (B, T, D)."""
        out = self.encoder(pixel_values=pixels)
        if self.siglip:  # last_hidden_state is already normalised
            return out.image_embeds, out.last_hidden_state if self.local() else None
        patches = self.encoder.vision_model.post_layernorm(out.last_hidden_state[:, 1:])
        return out.image_embeds, self.encoder.visual_projection(patches) if self.local() else None

    def local(self):
        return self.config["condition"]["local_tokens"] if "condition" in self.config else 0

    def forward(self, inputs):
        """inputs as for `genhance probe` -> dict(loss, condition, and what the objective adds)."""
        dtype = next(self.encoder.parameters()).dtype
        given = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
        for name, module in self.encoder.named_modules():
            if isinstance(module, models.LoRALinear):
                module.mask = given.get(f"dropout_mask.{name}.lora_A.weight")
        if "images" in given:
            constants = ([0.5] * 3, [0.5] * 3) if self.siglip else (MEAN, STD)
            mean, std = (torch.tensor(v, dtype=torch.float64).to(dtype)[:, None, None] for v in constants)
            pixels = (given["images"] - mean) / std
        else:
            pixels = given["pixel_values"]
        condition, patches = self.embed(pixels)
        if patches is not None and self.local() < 100:
            patches = torch.stack([p[i.long()] for p, i in zip(patches, given["local_index"])])
        tokens = condition[:, None] if patches is None else torch.cat([condition[:, None], patches], 1)
        out = self.objective(given, condition, tokens)
        return {**out, "loss": out["loss"].reshape(1), "condition": condition}


class Continuous(nn.Module):
    """Flow matching: autoencoder, denoiser and projectors."""

    def __init__(self, config, folder, width, size):
        super().__init__()
        self.convention = config["timestep"]["convention"]
        self.denoiser = models.Denoiser(config["denoiser"])
        self.project_clip = models.projector(width, config["denoiser"]["vector_width"])
        self.project_t5 = models.projector(width, config["denoiser"]["context_width"])
        weights = {k: v.float() for k, v in load_file(folder / config["autoencoder"]).items()}
        multipliers = [weights[f"encoder.down.{i}.block.0.conv1.bias"].numel() for i in range(4)]
        ch = weights["encoder.conv_in.bias"].numel()
        self.autoencoder = models.Autoencoder(ch, [m // ch for m in multipliers])
        self.autoencoder.load_state_dict(weights)
        self.autoencoder.requires_grad_(False)

    def load(self, tensors):
        heads = {k: v.float() for k, v in tensors.items() if k.startswith("project_")}
        self.denoiser.load_state_dict({k: v.float() for k, v in tensors.items() if k not in heads})
        self.load_state_dict(heads, strict=False)

    def parts(self):
        return [("project_clip.", self.project_clip), ("project_t5.", self.project_t5), ("", self.denoiser)]

    def forward(self, given, condition, tokens):
        if "images" in given:
            x1 = models.pack(self.autoencoder.encode(given["images"], given["latent_noise"]))
        else:
            x1 = given["latents"]
        t, x0 = given["t"], given["noise"]
        clean = t if self.convention == "data_at_one" else 1 - t
        x_t = clean[:, None, None] * x1 + (1 - clean[:, None, None]) * x0
        target = x1 - x0 if self.convention == "data_at_one" else x0 - x1
        prediction = self.denoiser(x_t, t, self.project_clip(condition), self.project_t5(tokens))
        return dict(loss=(prediction - target).square().mean(), latents=x1, prediction=prediction)


def load_vqgan(weights):
    """A frozen VQ-GAN with the sizes of its tensors."""
    def width(name):
        return weights[name + ".bias"].numel()
    ch, levels, blocks = width("encoder.conv_in"), 0, 0
    while f"encoder.down.{levels}.block.0.conv1.bias" in weights:
        levels += 1
    while f"encoder.down.0.block.{blocks}.conv1.bias" in weights:
        blocks += 1
    multipliers = [width(f"encoder.down.{i}.block.0.conv1") // ch for i in range(levels)]
    codes, vector = weights["quantize.embedding.weight"].shape
    model = vqgan.VQGAN(ch, multipliers, blocks, width("encoder.conv_out"), vector, codes)
    model.load_state_dict(weights)
    return model.requires_grad_(False)


class Discrete(nn.Module):
    """Masked codes: VQ-GAN, denoiser and projector."""

    def __init__(self, config, folder, width, size):
        super().__init__()
        weights = {k: v.float() for k, v in load_file(folder / config["autoencoder"]).items()}
        self.vqgan = load_vqgan(weights)
        codes, vector = weights["quantize.embedding.weight"].shape
        positions = (size // 2 ** (len(self.vqgan.encoder.down) - 1)) ** 2
        self.denoiser = perceiver.Perceiver(config["denoiser"], vector, positions, codes)
        self.project_condition = models.projector(width, config["denoiser"]["hidden"])

    def load(self, tensors):
        heads = {k: v.float() for k, v in tensors.items() if k.startswith("project_")}
        self.denoiser.load_state_dict({k: v.float() for k, v in tensors.items() if k not in heads})
        self.load_state_dict(heads, strict=False)

    def parts(self):
        return [("project_condition.", self.project_condition), ("", self.denoiser)]

    def forward(self, given, condition, tokens):
        if "codes" in given:
            codes = given["codes"].long()
        else:
            codes = self.vqgan.distances(self.vqgan.latents(2 * given["images"] - 1)).argmin(-1)
        mask = given["mask"].bool()
        vectors = self.vqgan.quantize.embedding(codes)
        logits = self.denoiser(vectors, mask, self.project_condition(tokens))
        return dict(loss=perceiver.masked_loss(logits, codes, mask), codes=codes.int(), mask=mask.int(),
                    logits=logits[mask])


def probe(config, folder, stage, inputs, dtype):
    """One step from files, in the given precision -> {name: tensor}, gradients as grad.<parameter>."""
    step = Step(config, folder)
    trained = step.trained(stage)
    step.to(dtype)
    out = step(inputs)
    out["loss"].sum().backward()
    result = {k: v.detach() for k, v in out.items()}
    result.update({"grad." + k: p.grad for k, p in trained.items()})
    return result


def expected(config, folder, stage, inputs, largest=None):
    """The expected file: float64 results, and error.<name>, PyTorch float32's largest absolute error.

    largest: gradients with more elements are left out to keep the file small (grad_norm covers them all).
    """
    exact = probe(config, folder, stage, inputs, torch.float64)
    rough = probe(config, folder, stage, inputs, torch.float32)
    for result in (exact, rough):
        squares = [v.square().sum() for k, v in result.items() if k.startswith("grad.")]
        result["grad_norm"] = torch.stack(squares).sum().sqrt().reshape(1)
    kept = {k: v for k, v in exact.items() if not (largest and k.startswith("grad.") and v.numel() > largest)}
    file = {k: v.float().contiguous() if v.is_floating_point() else v.contiguous() for k, v in kept.items()}
    for k, v in kept.items():
        if v.is_floating_point():
            file["error." + k] = (rough[k].double() - v).abs().max().float().reshape(1)
        else:
            assert torch.equal(v, rough[k]), k
    assert all(torch.isfinite(v).all() for v in file.values())
    return file
