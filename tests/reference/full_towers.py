"""Full width, both towers: `genhance init` and `encode` against transformers in float32, one backbone at a time.

    python tests/reference/full_towers.py build/genhance FOLDER CLIP_TOKENIZER [ARCH...]

Makes each model with random weights in FOLDER (up to 4 GB, removed afterwards), embeds the fixtures' images and lines, and
prints the largest difference relative to the largest value. CLIP_TOKENIZER: a folder with CLIP's published vocabulary.
SigLIP's comes from the fixtures.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPTokenizer, SiglipTokenizer
from transformers.image_utils import load_image

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
ARCHS = ["openai-vit-l-14-224", "openai-vit-l-14-336", "metaclip-vit-l-14-224", "metaclip-vit-h-14-224", "siglip-so400m-14-224",
         "siglip-so400m-14-384"]


@torch.no_grad()
def check(binary, folder, arch, tokenizers):
    siglip = arch.startswith("siglip")
    tokenizer = tokenizers[siglip]
    images, lines = folder / "images", FIXTURES / "text" / "lines.txt"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    for path in sorted((FIXTURES / "encode" / "images").iterdir())[:2]:
        shutil.copy(path, images)
    model, out = folder / arch, folder / "out.safetensors"
    subprocess.run([binary, "init", "--arch", arch, "--out", model, "--tokenizer", tokenizer], check=True)
    subprocess.run([binary, "encode", "--model", model, "--images", images, "--text", lines, "--batch", "4", "--out", out], check=True)
    with safe_open(out, "pt") as f:
        names = json.loads(f.metadata()["names"])
        got = f.get_tensor("embeddings"), f.get_tensor("text_embeddings")
    processor = AutoImageProcessor.from_pretrained(model, backend="pil")
    pixels = processor([load_image(str(images / n)).convert("RGB") for n in names], return_tensors="pt")["pixel_values"]
    length = AutoConfig.from_pretrained(model).text_config.max_position_embeddings
    tokens = (SiglipTokenizer if siglip else CLIPTokenizer).from_pretrained(model)
    text = lines.read_text(encoding="utf-8").split("\n")[:-1]
    ids = tokens(text, padding="max_length", truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    theirs = AutoModel.from_pretrained(model, dtype=torch.float32)
    want = theirs.get_image_features(pixel_values=pixels).pooler_output, theirs.get_text_features(input_ids=ids).pooler_output
    for what, a, b in zip(("images", "text"), got, want):
        spread = (b - b.mean(0)).abs().max().item()  # between the rows, which are similar for random towers
        worst = (a - b).abs().max().item()
        print(f"{arch}, {sum(p.numel() for p in theirs.parameters())} parameters, {what}: worst {worst / b.abs().max().item():.1e} "
              f"of the greatest, {worst / spread:.1e} of the rows' spread", flush=True)
    shutil.rmtree(model)


if __name__ == "__main__":
    torch.set_num_threads(2)
    folder = pathlib.Path(sys.argv[2])
    for arch in sys.argv[4:] or ARCHS:
        check(str(pathlib.Path(sys.argv[1]).resolve()), folder, arch, (sys.argv[3], str(FIXTURES / "tokens" / "siglip")))
