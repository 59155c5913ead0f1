"""Makes tests/fixtures/probe/adapters: adapters of many kinds for probe/tiny's encoder, saved by peft.

`cases.txt` and the files that it names are as make_probe.py's: one step of stage 2 that starts from the adapter. Here
the encoder is peft's own, which reads the saved folder. `served.safetensors` holds, for every adapter, what peft's
encoder gives for tiny's pictures in float64: <adapter>, (2, D).

  rslora     scale alpha / sqrt(r), inner layers alone, bias "none"
  patterns   rank_pattern and alpha_pattern, keys that are names, parts of names and regular expressions
  both       both of these, a regular expression as target_modules, bias "all", other initialisations
  converted  a PiSSA adapter, converted with path_initial_model_for_weight_conversion
  only       bias "lora_only", alpha below r
  dora       DoRA with rsLoRA and patterns; trained without dropout, and as dora-dropout with given masks
  saved      modules_to_save, a linear layer and a norm
  bare       of a CLIPVisionModel, whose names lack "vision_model."; not trained here
  older      weights as adapter_model.bin; not trained here
"""
import json
import shutil
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

import common
import make_probe
from common import FIXTURES, generator

FOLDER = FIXTURES / "probe" / "adapters"
CLIP = FIXTURES / "probe" / "tiny" / "clip"
NAMES = ["q_proj", "fc1", "fc2", "visual_projection"]
INNER = NAMES[:3]
PATTERNS = dict(
    rank_pattern={"visual_projection": 7, r"layers\.[0-1]\.self_attn\.(?:q|k)_proj": 3, "mlp.fc1": 5},
    alpha_pattern={r"^vision_model\.encoder\.layers\.\d+?\.mlp\.fc1": 2,
                   "vision_model.encoder.layers.2.self_attn.q_proj": 11, ".*projection$": 9})
ADAPTERS = {
    "rslora": dict(r=4, lora_alpha=6, use_rslora=True, target_modules=INNER),
    "patterns": dict(r=4, lora_alpha=6, target_modules=NAMES, init_lora_weights="gaussian", **PATTERNS),
    "both": dict(r=2, lora_alpha=3, use_rslora=True, bias="all", init_lora_weights=False,
                 target_modules=r"vision_model\..*\.(q_proj|fc[12])|visual_projection", **PATTERNS),
    "converted": dict(r=3, lora_alpha=5, target_modules=NAMES, init_lora_weights="pissa"),
    "only": dict(r=5, lora_alpha=2, bias="lora_only", target_modules=NAMES, init_lora_weights="gaussian"),
    "dora": dict(r=4, lora_alpha=6, use_dora=True, use_rslora=True, bias="lora_only", target_modules=NAMES, **PATTERNS),
    "saved": dict(r=4, lora_alpha=6, target_modules=INNER,
                  modules_to_save=["visual_projection", "vision_model.post_layernorm"]),
    "bare": dict(r=4, lora_alpha=6, target_modules=r"encoder\.layers\.\d+\.(self_attn\.q_proj|mlp\.fc1)",
                 modules_to_save=["post_layernorm"], rank_pattern={r"^encoder\.layers\.1\.mlp\.fc1": 3},
                 alpha_pattern={"encoder.layers.0.self_attn.q_proj": 2}),
    "older": dict(r=2, lora_alpha=3, target_modules=["fc1"]),
}
DROPOUT = 0.1
TRAINED = {"rslora": 0, "patterns": 0, "both": 0, "converted": 0, "only": 0, "dora": 0, "saved": 0,
           "dora-dropout": DROPOUT}


def save(name, seed):
    """peft makes the adapter, its values are moved at random, peft saves it."""
    settings = LoraConfig(**ADAPTERS[name])
    torch.manual_seed(seed)
    whole = common.load_vision(CLIP)
    model = get_peft_model(whole.vision_model if name == "bare" else whole, settings)
    options = {}
    with tempfile.TemporaryDirectory() as folder:
        if name == "converted":
            options["path_initial_model_for_weight_conversion"] = str(Path(folder) / "start")
            model.peft_config["default"].init_lora_weights = True
            model.save_pretrained(options["path_initial_model_for_weight_conversion"])
            model.peft_config["default"].init_lora_weights = "pissa"
        g = generator(seed)
        for key, p in model.named_parameters():
            if p.requires_grad:
                p.data.add_(torch.randn(p.shape, generator=g) * (0.2 if p.ndim == 1 else p.shape[-1] ** -0.5))
        model.save_pretrained(FOLDER / name, safe_serialization=name != "older", **options)
    (FOLDER / name / "README.md").unlink()
    path = FOLDER / name / "adapter_config.json"
    saved = json.loads(path.read_text())
    if isinstance(saved["target_modules"], list):
        saved["target_modules"].sort()
    saved["base_model_name_or_path"] = "clip"
    common.write_json(path, saved)


class Masked(torch.nn.Module):
    """A layer's dropout with a given mask; without one it keeps everything."""

    mask = None

    def forward(self, x):
        return x if self.mask is None else x * self.mask / (1 - DROPOUT)


class Step(common.Step):
    """The step with peft's encoder."""

    def trained(self, stage):
        lora = self.config["stage2"]["lora"]
        self.encoder = PeftModel.from_pretrained(self.encoder, self.folder / lora["adapter"], is_trainable=True).eval()
        for _, module in self.objective.parts():
            module.requires_grad_(False)
        if lora["dropout"]:
            self.encoder.train()  # peft computes DoRA's dropout with products of its own; CLIP has no dropout
            for module in self.encoder.modules():
                if isinstance(module, LoraLayer):
                    module.lora_dropout["default"] = Masked()
        plain = lambda key: (key.removeprefix("base_model.model.").replace(".base_layer.", ".")
                             .replace(".modules_to_save.default.", ".").replace(".default.", ".")
                             .replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector"))
        return {plain(key): p for key, p in self.encoder.named_parameters() if p.requires_grad}

    def forward(self, inputs):
        dtype = next(self.encoder.parameters()).dtype
        for name, module in self.encoder.named_modules():
            mask = inputs.get(f"dropout_mask.{name.removeprefix('base_model.model.')}.lora_A.weight")
            if isinstance(module, LoraLayer) and mask is not None:
                module.lora_dropout["default"].mask = mask.to(dtype)
        return super().forward(inputs)


def embedding(name, pixels):
    model = common.load_vision(CLIP)
    if name == "bare":
        model.vision_model = PeftModel.from_pretrained(model.vision_model, FOLDER / name)
    else:
        model = PeftModel.from_pretrained(model, FOLDER / name)
    return model.double().eval()(pixel_values=pixels).image_embeds.detach().float()


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    images = load_file(FIXTURES / "probe" / "tiny" / "inputs.safetensors")["images"].double()
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (common.MEAN, common.STD))
    served = {}
    for i, name in enumerate(ADAPTERS):
        save(name, 600 + i)
        served[name] = embedding(name, (images - mean) / std)
    save_file(served, FOLDER / "served.safetensors")
    common.Step = Step
    lines = []
    for case, dropout in TRAINED.items():
        name = case.removesuffix("-dropout")
        saved = json.loads((FOLDER / name / "adapter_config.json").read_text())
        lora = dict(rank=saved["r"], alpha=saved["lora_alpha"], dropout=float(dropout), bias=saved["bias"],
                    adapter=name, targets=INNER if name in ("rslora", "saved") else NAMES)
        setting = {**make_probe.TINY, "clip": "../tiny/clip", "autoencoder": "../tiny/ae.safetensors", "lora": lora,
                   "adapter": name}
        config = make_probe.run_config(setting, denoiser={"weights": "../tiny/denoiser.safetensors"})
        common.write_json(FOLDER / f"{case}.json", config)
        source = "inputs-dropout" if dropout else "inputs"
        inputs = load_file(FIXTURES / "probe" / "tiny" / f"{source}.safetensors")
        save_file(common.expected(config, FOLDER, 2, inputs, 800), FOLDER / f"{case}.expected.safetensors")
        lines.append(f"{case} 2 {case}.json ../tiny/{source}.safetensors {case}.expected.safetensors\n")
    (FOLDER / "cases.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
