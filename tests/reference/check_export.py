"""Exports of tiny runs, opened by transformers and peft: are the embeddings those of `genhance encode`?

    python tests/reference/check_export.py build/genhance FOLDER

Trains two updates of each stage on the fixtures' images, for CLIP and SigLIP, LoRA ("lora_only" and "all") and direct
tuning, exports every format and compares: the whole model (images and text), the vision tower alone, the adapter over
the model it was trained from, the shards and dtypes.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPImageProcessor, CLIPVisionModel
from transformers import SiglipImageProcessor, SiglipVisionModel
from transformers.image_utils import load_image

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
IMAGES = FIXTURES / "encode" / "images"
LINES = FIXTURES / "text" / "lines.txt"


def run(binary, *arguments):
    subprocess.run([binary, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def config(clip, out, lora):
    return {"version": 1, "clip": str(clip), "autoencoder": str(FIXTURES / "probe/tiny/ae.safetensors"),
            "denoiser": dict(double_blocks=1, single_blocks=1, hidden=32, heads=2, mlp_ratio=2.0, rope_axes=[4, 6, 6],
                             context_width=24, vector_width=20),
            "data": {"images": [str(IMAGES)], "workers": 1},
            "stage1": {"steps": 2, "batch": 2, "micro_batch": 2, "optimizer": {"lr": 0.01}},
            "stage2": {"steps": 2, "batch": 2, "micro_batch": 2, "optimizer": {"lr": 0.01}, "lora": lora},
            "output": str(out)}


def embeddings(binary, folder, out, adapter=None):
    text = (folder / "tokenizer_config.json").exists()
    more = (["--adapter", adapter] if adapter else []) + (["--text", LINES] if text else [])
    run(binary, "encode", "--model", folder, "--images", IMAGES, "--out", out, *more)
    with safe_open(out, "pt") as f:
        names = json.loads(f.metadata()["names"])
        return names, f.get_tensor("embeddings"), f.get_tensor("text_embeddings") if text else None


def pixels(folder, names):
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    return processor([load_image(str(IMAGES / n)).convert("RGB") for n in names], return_tensors="pt")["pixel_values"]


def expect(what, got, want, bound=5e-6):
    worst = ((got.double() - want.double()).abs().max() / want.abs().max()).item()
    print(f"{what:58} {worst:.1e}", "" if worst <= bound else "  WRONG", flush=True)
    if not worst <= bound:
        sys.exit(1)


@torch.no_grad()
def check(binary, work, name, clip, lora):
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(config(clip, folder / "run", lora)))
    run(binary, "train", "--config", folder / "run.json", "--quiet")
    export = lambda out, *more: run(binary, "export", "--run", folder / "run", "--out", folder / out, *more)
    export("hf")
    names, image, text = embeddings(binary, folder / "hf", folder / "hf.safetensors")
    _, base, _ = embeddings(binary, clip, folder / "base.safetensors")
    assert (image - base).abs().max() > 1e-3, "training changed nothing"
    values = pixels(folder / "hf", names)
    model = AutoModel.from_pretrained(folder / "hf")
    print(f"{name}: {type(model).__name__}")
    expect(f"{name}, hf, images", model.get_image_features(pixel_values=values).pooler_output, image)
    if text is not None:
        tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
        lines = LINES.read_text(encoding="utf-8").split("\n")[:-1]
        ids = tokenizer(lines, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
        expect(f"{name}, hf, text", model.get_text_features(input_ids=ids).pooler_output, text)
    for dtype, bound in ((torch.float32, 5e-6), (torch.float16, 5e-3), (torch.bfloat16, 5e-2)):
        kind = str(dtype).removeprefix("torch.")
        export(kind, "--dtype", kind)
        rounded = AutoModel.from_pretrained(folder / kind)
        assert rounded.dtype == dtype, rounded.dtype
        _, ours, _ = embeddings(binary, folder / kind, folder / "rounded.safetensors")
        theirs = rounded.float().get_image_features(pixel_values=values).pooler_output
        expect(f"{name}, {kind}, images", theirs, ours)
        expect(f"{name}, {kind} against the run's, images", theirs, image, bound)
    export("vision", "--format", "vision")
    siglip = "siglip" in model.config.model_type
    tower, info = (SiglipVisionModel if siglip else CLIPVisionModel).from_pretrained(folder / "vision", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    hidden = tower(pixel_values=values, output_hidden_states=True)
    whole = model.vision_model(pixel_values=values, output_hidden_states=True)
    expect(f"{name}, vision alone, last but one layer", hidden.hidden_states[-2], whole.hidden_states[-2])
    expect(f"{name}, vision alone, pooled", hidden.pooler_output, whole.pooler_output)
    (SiglipImageProcessor if siglip else CLIPImageProcessor).from_pretrained(folder / "vision")
    if lora:
        export("peft", "--format", "peft")
        _, adapted, _ = embeddings(binary, clip, folder / "adapted.safetensors", folder / "peft")
        expect(f"{name}, merged against adapter, here", adapted, image)
        peft = PeftModel.from_pretrained(AutoModel.from_pretrained(clip), folder / "peft").eval()
        expect(f"{name}, peft, images", peft.get_image_features(pixel_values=values).pooler_output, image)


def main(binary, work):
    siglip = work / "siglip"  # the two parts of the fixture
    shutil.rmtree(siglip, ignore_errors=True)
    shutil.copytree(FIXTURES / "towers" / "siglip", siglip)
    shutil.copy(FIXTURES / "tokens" / "siglip" / "spiece.model", siglip)
    lora = {"rank": 2, "alpha": 3}
    check(binary, work, "clip-lora", FIXTURES / "text" / "clip", lora)
    check(binary, work, "clip-all", FIXTURES / "text" / "clip", {**lora, "bias": "all"})
    check(binary, work, "clip-direct", FIXTURES / "text" / "clip", None)
    for name, how in (("lora", lora), ("all", {**lora, "bias": "all"}), ("direct", None)):
        check(binary, work, f"siglip-{name}", FIXTURES / "probe" / "siglip" / "clip", how)
    embeddings(binary, siglip, work / "siglip.safetensors")


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve())
