"""Opens a folder that `genhance pretrain clip` wrote with transformers, and compares embeddings and tokens.

    check_pretrain_clip.py GENHANCE OUTPUT/clip PICTURES LINES.txt

PICTURES is a folder of PNG files, LINES.txt has a caption per line. Prints the largest differences; fails above 1e-4 of
the largest element.
"""
import pathlib
import subprocess
import sys
import tempfile

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil


def largest(name, got, want):
    difference = ((got - want).abs().max() / want.abs().max()).item()
    print(f"{name}: {tuple(want.shape)}, the largest difference is {difference:.1e}")
    return difference <= 1e-4


def embedded(output):
    """Newer versions of transformers return a record."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def main(genhance, folder, pictures, lines):
    model = CLIPModel.from_pretrained(folder).eval()
    tokenizer, processor = CLIPTokenizer.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder)
    texts = pathlib.Path(lines).read_text().splitlines()
    images = [Image.open(p).convert("RGB") for p in sorted(pathlib.Path(pictures).glob("*.png"))]
    with torch.no_grad():
        tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        text = embedded(model.get_text_features(**tokens))
        image = embedded(model.get_image_features(**processor(images, return_tensors="pt")))
    with tempfile.TemporaryDirectory() as work:
        out = str(pathlib.Path(work) / "e.safetensors")
        subprocess.run([genhance, "encode", "--model", folder, "--images", pictures, "--text", lines, "--out", out],
                       check=True)
        got = load_file(out)
    print({k: tuple(v.shape) for k, v in got.items()})
    names = {"image": "embeddings", "text": "text_embeddings"}

    def unit(x):
        return x / x.norm(dim=-1, keepdim=True)
    good = largest("images", unit(got[names["image"]]), unit(image))
    return not (largest("lines", unit(got[names["text"]]), unit(text)) and good)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
