"""Makes tests/fixtures/towers: both towers of each family together, and files in other formats.

    siglip/              a SiglipModel in float16, in shards with an index; its tokenizer is tokens/siglip's spiece.model,
                         with 16 tokens per line
    siglip.safetensors   SiglipModel's results for text/lines.txt and pixel_values (3, 3, S, S)
    clip.safetensors     CLIPModel's results for them with text/clip
    openclip.safetensors siglip's weights under OpenCLIP's names, with timm's vision tower
    openai.safetensors   text/clip's weights under OpenAI's names: packed projections, final matrices transposed

Expected: text_embeddings (n, D) and image_embeddings (3, D) before normalisation, logits_per_image (3, n).
"""
import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTokenizer, SiglipModel, SiglipTokenizer

import common
from common import FIXTURES

TEXT, TOKENS, FOLDER = FIXTURES / "text", FIXTURES / "tokens", FIXTURES / "towers"
INNER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
         "mlp.fc2": "mlp.c_proj"}
OUTER = {"vision_model.embeddings.class_embedding": "visual.class_embedding",
         "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
         "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
         "vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post",
         "visual_projection.weight": "visual.proj", "text_model.embeddings.token_embedding": "token_embedding",
         "text_model.embeddings.position_embedding.weight": "positional_embedding", "text_model.final_layer_norm": "ln_final",
         "text_projection.weight": "text_projection"}


def expected(model, ids, pixels):
    with torch.no_grad():
        out = {}
        for dtype in (torch.float32, torch.float64):
            model = model.to(dtype).eval()
            text = model.get_text_features(input_ids=ids).pooler_output
            image = model.get_image_features(pixel_values=pixels.to(dtype)).pooler_output
            logits = model(input_ids=ids, pixel_values=pixels.to(dtype)).logits_per_image
            out[dtype] = {"text_embeddings": text, "image_embeddings": image, "logits_per_image": logits}
    file = {k: v.float().contiguous() for k, v in out[torch.float64].items()}
    for k, v in out[torch.float64].items():
        file["error." + k] = (out[torch.float32][k].double() - v).abs().max().float().reshape(1)
        print(k, tuple(v.shape), "spread", v.std().item(), "float32 error", file["error." + k].item())
    return {**file, "pixel_values": pixels}


def openai_names(tensors):
    out = {}
    for name, value in tensors.items():
        if "self_attn" in name and "out_proj" not in name:
            continue
        for ours, theirs in OUTER.items():
            if name.startswith(ours):
                value = value.T if theirs in ("visual.proj", "text_projection") else value
                name = theirs + name.removeprefix(ours)
        for tower, prefix in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
            name = name.replace(f"{tower}.encoder.layers.", f"{prefix}.resblocks.")
        for ours, theirs in INNER.items():
            name = name.replace(ours, theirs)
        out[name] = value.contiguous()
    for name, value in tensors.items():
        if "self_attn.q_proj" not in name:
            continue
        packed = torch.cat([tensors[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")])
        name = name.replace("vision_model.encoder.layers.", "visual.transformer.resblocks.")
        name = name.replace("text_model.encoder.layers.", "transformer.resblocks.")
        out[name.replace("self_attn.q_proj.", "attn.in_proj_")] = packed
    return out


def openclip_names(tensors):
    """OpenCLIP's SigLIP; its text tower has OpenAI's names, with the prefix "text."."""
    text = openai_names({k: v for k, v in tensors.items() if k.startswith("text_model.") and ".head." not in k})
    out = {"text." + k: v for k, v in text.items()}
    out |= {"text.text_projection." + k: tensors["text_model.head." + k] for k in ("weight", "bias")}
    out |= {k: tensors[k].reshape(()) for k in ("logit_scale", "logit_bias")}
    names = [("vision_model.embeddings.patch_embedding.", "patch_embed.proj."), ("vision_model.post_layernorm.", "norm."),
             ("vision_model.embeddings.position_embedding.weight", "pos_embed"), ("vision_model.head.probe", "attn_pool.latent"),
             ("vision_model.head.attention.out_proj.", "attn_pool.proj."), ("vision_model.head.layernorm.", "attn_pool.norm."),
             ("vision_model.head.mlp.", "attn_pool.mlp."), ("vision_model.encoder.layers.", "blocks."),
             ("layer_norm", "norm"), ("self_attn.out_proj.", "attn.proj.")]
    for name, value in tensors.items():
        if not name.startswith("vision_model."):
            continue
        if "in_proj_" in name:
            kind, third = name.rpartition("_")[2], len(value) // 3
            out |= {f"visual.trunk.attn_pool.q.{kind}": value[:third].clone(), f"visual.trunk.attn_pool.kv.{kind}": value[third:].clone()}
        elif "self_attn.q_proj" in name:
            layer, kind = name.split(".")[3], name.rpartition(".")[2]
            parts = [tensors[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
            out[f"visual.trunk.blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            for ours, theirs in names:
                name = name.replace(ours, theirs)
            out["visual.trunk." + name] = value[None] if name == "pos_embed" else value
    return {k: v.contiguous() for k, v in out.items()}


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    lines = (TEXT / "lines.txt").read_text(encoding="utf-8").split("\n")[:-1]
    # SigLIP
    folder = FOLDER / "siglip"
    vision = dict(hidden_size=36, num_hidden_layers=1, num_attention_heads=3, intermediate_size=50, image_size=40, patch_size=12)
    text = dict(hidden_size=36, num_hidden_layers=2, num_attention_heads=2, intermediate_size=60, vocab_size=1246,
                max_position_embeddings=16)
    common.save_siglip(folder, vision, text, 700, torch.float16)
    model = SiglipModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    (folder / "model.safetensors").unlink()
    saved = json.loads((folder / "config.json").read_text())
    model.half().save_pretrained(folder, max_shard_size="60KB")
    common.write_json(folder / "config.json", saved)
    settings = json.loads((TOKENS / "siglip" / "tokenizer_config.json").read_text())
    common.write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": 16})
    tokenizer = SiglipTokenizer(str(TOKENS / "siglip" / "spiece.model"), model_max_length=16)
    ids = tokenizer(lines, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    assert ids.shape[1] == 16
    save_file(expected(model.float(), ids, torch.randn(3, 3, 40, 40, generator=common.generator(701))), FOLDER / "siglip.safetensors")
    shards = {k: v for path in sorted(folder.glob("*.safetensors")) for k, v in load_file(path).items()}
    save_file(openclip_names(shards), FOLDER / "openclip.safetensors")
    # CLIP
    model = CLIPModel.from_pretrained(TEXT / "clip", attn_implementation="sdpa", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(TEXT / "clip")
    ids = tokenizer(lines, padding="max_length", truncation=True, max_length=77, return_tensors="pt")["input_ids"]
    save_file(expected(model, ids, torch.randn(3, 3, 32, 32, generator=common.generator(702))), FOLDER / "clip.safetensors")
    save_file(openai_names(load_file(TEXT / "clip" / "model.safetensors")), FOLDER / "openai.safetensors")
