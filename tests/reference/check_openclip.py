"""Models of the open_clip package, saved under its own names: does `genhance encode` give what they give?

    python tests/reference/check_openclip.py build/genhance FOLDER CLIP_TOKENIZER

Needs open_clip_torch and timm beside the rest. Random weights, ViT-B sizes; CLIP_TOKENIZER: a folder with CLIP's published
vocabulary. config.json is written as transformers' would be: open_clip's SigLIP has the exact GELU.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import open_clip
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoImageProcessor, CLIPTokenizer, SiglipTokenizer
from transformers.image_utils import load_image

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
IMAGES, LINES = FIXTURES / "encode" / "images", FIXTURES / "text" / "lines.txt"
CLIP = {"model_type": "clip", "projection_dim": 512, "text_config": {"eos_token_id": 2}, "vision_config": {}}
SIGLIP = {"model_type": "siglip", "text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "gelu"}}


@torch.no_grad()
def check(binary, folder, name, config, tokenizer):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    siglip = config is SIGLIP
    model = open_clip.create_model(name).eval()
    for p in model.parameters():  # larger than they are drawn, so that nothing is lost in the means
        if p.dim() == 1:
            p += 0.1 * torch.randn_like(p)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    size = {"height": 224, "width": 224}
    (folder / "preprocessor_config.json").write_text(json.dumps(
        {"image_processor_type": "SiglipImageProcessor", "size": size} if siglip else {"image_processor_type": "CLIPImageProcessor"}))
    for path in pathlib.Path(tokenizer).iterdir():
        shutil.copy(path, folder)
    out = folder / "out.safetensors"
    subprocess.run([binary, "encode", "--model", folder, "--images", IMAGES, "--text", LINES, "--out", out], check=True)
    with safe_open(out, "pt") as f:
        names = json.loads(f.metadata()["names"])
        image, text = f.get_tensor("embeddings"), f.get_tensor("text_embeddings")
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor([load_image(str(IMAGES / n)).convert("RGB") for n in names], return_tensors="pt")["pixel_values"]
    tokens = (SiglipTokenizer if siglip else CLIPTokenizer).from_pretrained(folder)
    lines = LINES.read_text(encoding="utf-8").split("\n")[:-1]
    ids = tokens(lines, padding="max_length", truncation=True, max_length=64 if siglip else 77, return_tensors="pt")["input_ids"]
    for what, a, b in (("images", image, model.encode_image(pixels)), ("text", text, model.encode_text(ids))):
        print(f"{name}, {what}: worst {((a - b).abs().max() / b.abs().max()).item():.1e} of the greatest")


if __name__ == "__main__":
    binary, folder = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2])
    check(binary, folder / "clip", "ViT-B-32-quickgelu", CLIP, sys.argv[3])
    check(binary, folder / "siglip", "ViT-B-16-SigLIP", SIGLIP, FIXTURES / "tokens" / "siglip")
