"""Models saved by the open_clip package: does `genhance encode` give the same results, and does an export of
them in transformers?

    python tests/reference/check_openclip.py build/genhance FOLDER [CLIP_TOKENIZER]

Also needs open_clip_torch and timm. Random weights, ViT-B sizes; CLIP_TOKENIZER: a folder with CLIP's published
vocabulary; without it, only small models are checked. The folder has open_clip_config.json and open_clip_model.safetensors, and none of transformers' settings.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import open_clip
import torch
from open_clip.tokenizer import get_clean_fn, HFTokenizer
from open_clip.transform import image_transform_v2, PreprocessCfg
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModel, CLIPTokenizer, SiglipTokenizer
from transformers.image_utils import load_image

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
IMAGES, LINES = FIXTURES / "encode" / "images", FIXTURES / "text" / "lines.txt"
AUTOENCODER = FIXTURES / "probe/tiny/ae.safetensors"
SIGLIP_CFG = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


def embed(binary, folder, out):
    subprocess.run([binary, "encode", "--model", folder, "--images", IMAGES, "--text", LINES, "--out", out], check=True)
    with safe_open(out, "pt") as f:
        return json.loads(f.metadata()["names"]), f.get_tensor("embeddings"), f.get_tensor("text_embeddings")


def compare(what, a, b, bound):
    worst = ((a - b).abs().max() / b.abs().max()).item()
    print(f"{what}: worst {worst:.1e} of the largest value")
    if not worst <= bound:
        sys.exit(f"{what}: WRONG")


@torch.no_grad()
def check(binary, folder, name, preprocess, tokenizer):
    shutil.rmtree(folder, ignore_errors=True)
    model_folder = folder / "model"
    model_folder.mkdir(parents=True)
    siglip = "SigLIP" in name
    model = open_clip.create_model(name).eval()
    for p in model.parameters():  # larger than their initial values, so that differences do not vanish in the means
        if p.dim() == 1:
            p += 0.1 * torch.randn_like(p)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, model_folder / "open_clip_model.safetensors")
    (model_folder / "open_clip_config.json").write_text(json.dumps(
        {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}))
    for path in pathlib.Path(tokenizer).iterdir():
        shutil.copy(path, model_folder)
    names, image, text = embed(binary, model_folder, folder / "out.safetensors")
    transform = image_transform_v2(PreprocessCfg(size=224, **preprocess), is_train=False)
    pixels = torch.stack([transform(load_image(str(IMAGES / n)).convert("RGB")) for n in names])
    tokens = (SiglipTokenizer if siglip else CLIPTokenizer).from_pretrained(model_folder)
    clean = get_clean_fn("canonicalize" if siglip else "lower")
    lines = [clean(x) for x in LINES.read_text(encoding="utf-8").split("\n")[:-1]]
    length = model.context_length
    ids = tokens(lines, padding="max_length", truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    compare(f"{name}, images", image, model.encode_image(pixels), 2e-6)
    compare(f"{name}, text", text, model.encode_text(ids), 2e-6)
    if name.startswith("EVA"):  # transformers has no class for an export
        return
    run = {"version": 1, "clip": str(model_folder), "autoencoder": str(AUTOENCODER),
           "denoiser": dict(double_blocks=1, single_blocks=1, hidden=32, heads=2, mlp_ratio=2.0, rope_axes=[4, 6, 6],
                            context_width=24, vector_width=20),
           "data": {"images": [str(IMAGES)], "workers": 1}, "stage1": {"steps": 0},
           "stage2": {"steps": 1, "batch": 2, "micro_batch": 2, "lora": {"rank": 2, "alpha": 3}, "train_denoiser": True},
           "output": str(folder / "run")}
    (folder / "run.json").write_text(json.dumps(run))
    subprocess.run([binary, "train", "--config", folder / "run.json", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([binary, "export", "--run", folder / "run", "--out", folder / "hf"], check=True, stdout=subprocess.DEVNULL)
    _, image, text = embed(binary, folder / "hf", folder / "hf.safetensors")
    theirs = AutoModel.from_pretrained(folder / "hf").eval()
    compare(f"{name}, exported, images", image, theirs.get_image_features(pixel_values=pixels).pooler_output, 5e-6)
    compare(f"{name}, exported, text", text, theirs.get_text_features(input_ids=ids).pooler_output, 5e-6)


@torch.no_grad()
def check_small(binary, folder, name, text, tokenizer, quick):
    """Small models of open_clip's own class with the tokenizers of the fixtures: its tokens, its preparation of pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tokenizer, folder)
    for path in folder.iterdir():
        if "token" not in path.name:
            path.unlink()
    kwargs = text.pop("tokenizer_kwargs", {})
    config = {"embed_dim": 20, "quick_gelu": quick,
              "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "head_width": 12, "patch_size": 8},
              "text_cfg": {"width": 32, "heads": 4, "layers": 2, **text}}
    model = open_clip.CLIP(**config).eval()
    for p in model.parameters():
        p.copy_(torch.randn_like(p) * (p[0].numel() ** -0.5 if p.dim() > 1 else 0.3) + (p if p.dim() < 2 else 0))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "interpolation": "bilinear"}
    config["text_cfg"] |= {"hf_tokenizer_name": "x", "tokenizer_kwargs": kwargs}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    names, image, embeddings = embed(binary, folder, folder / "out.safetensors")
    transform = image_transform_v2(PreprocessCfg(size=32, **preprocess), is_train=False)
    pixels = torch.stack([transform(load_image(str(IMAGES / n)).convert("RGB")) for n in names])
    tokens = HFTokenizer(str(folder), context_length=text["context_length"], **kwargs)
    lines = LINES.read_text(encoding="utf-8").split("\n")[:-1]
    compare(f"{name}, images", image, model.encode_image(pixels), 2e-6)
    compare(f"{name}, text", embeddings, model.encode_text(tokens(lines)), 2e-6)


if __name__ == "__main__":
    small = pathlib.Path(sys.argv[2]).resolve() / "small"
    check_small(sys.argv[1], small, "MetaCLIP 2, small", dict(vocab_size=902, context_length=24, pool_type="eos", eos_id=2),
                FIXTURES / "backbones" / "metaclip2", False)
    check_small(sys.argv[1], small, "Gemma's tokens, small",
                dict(vocab_size=1664, context_length=24, tokenizer_kwargs={"clean": "canonicalize"}),
                FIXTURES / "backbones" / "siglip2", True)
    if len(sys.argv) < 4:
        sys.exit()
    binary, folder = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    check(binary, folder / "clip", "ViT-B-32-quickgelu", {}, sys.argv[3])
    check(binary, folder / "eva", "EVA02-B-16", {}, sys.argv[3])
    check(binary, folder / "siglip", "ViT-B-16-SigLIP", SIGLIP_CFG, FIXTURES / "tokens" / "siglip")
