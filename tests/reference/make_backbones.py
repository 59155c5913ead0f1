"""Makes tests/fixtures/backbones: small models of today's backbones with random weights, and what transformers computes.

    siglip2/                 SigLIP 2 of one size (model_type siglip), with Gemma's tokenizer learnt here
    siglip2-lower/           the settings that make it a Siglip2Tokenizer, which converts to lower case and pads on the left
    metaclip2/               MetaCLIP 2, with an XLMRobertaTokenizer trained here
    clip-vision/             CLIPVisionModel, clip-vision-projected/ CLIPVisionModelWithProjection, siglip-vision/
                             SiglipVisionModel: one tower alone, as transformers 5 writes it
    eva-weights.safetensors  timm's Eva with the switches of eva02_large_patch14_clip_224, under open_clip's names
    added/                   added_tokens.json and special_tokens_map.json for tokens/clip, as older folders have them
    NAME.safetensors         pixel_values (3, 3, S, S), cotangent (3, D), image_embeddings (3, D) and `grad.PARAMETER` of
                             their product's sum; of both towers also text_embeddings and logits_per_image for
                             text/lines.txt. error.X: of PyTorch's float32
    crop.safetensors         pictures picture.N (H, W, 3) and their out.N (3, 18, 18) as open_clip prepares them: torchvision's
                             Resize and CenterCrop, whose crop begins at an even pixel where two are equally near
    tokens.safetensors       for each tokenizer NAME.ids, NAME.ends (make_tokens.py) of tokens/lines.txt

Run after make_tokens.py and make_text.py.
"""
import json
import shutil

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, trainers
from timm.models.eva import Eva
from torchvision import transforms
from transformers import (AutoTokenizer, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection,
                          GemmaTokenizer, MetaClip2Config, MetaClip2Model, SiglipConfig, SiglipModel, SiglipVisionConfig,
                          SiglipVisionModel, XLMRobertaTokenizer)

import common
import make_tokens
import make_towers
from common import FIXTURES

FOLDER, TOKENS, TEXT = FIXTURES / "backbones", FIXTURES / "tokens", FIXTURES / "text"
LINES = (TOKENS / "lines.txt").read_bytes().decode().split("\n")[:-1]
CORPUS = [x for x in LINES if not any(m in x for m in make_tokens.MARKS)]
MOST = 64  # tokens of a line in tokens.safetensors
PREPROCESSOR = {"do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3, "rescale_factor": 1 / 255}


def token(text, **flags):
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True,
            **flags}


# ---- tokenizers ----

def save_gemma(folder):
    """Byte-pair encoding of characters with the bytes' tokens, and the settings of google/siglip2-*."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    learner = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    learner.normalizer = normalizers.Replace(" ", "\u2581")
    trainer = trainers.BpeTrainer(vocab_size=1400, limit_alphabet=300, show_progress=False)
    learner.train_from_iterator([x.lower() if i % 2 else x for i, x in enumerate(CORPUS)], trainer)
    learnt = json.loads(learner.to_str())["model"]
    others = ["<start_of_turn>", "\n\n", "<table>"]
    tokens = special + others + [f"<0x{i:02X}>" for i in range(256)]
    tokens += [t for t in learnt["vocab"] if t not in tokens]
    vocabulary = {t: i for i, t in enumerate(tokens)}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[tuple(m) for m in learnt["merges"]], add_eos_token=True)
    tokenizer.save_pretrained(folder)
    added = {str(vocabulary[t]): token(t, special=t not in ("\n\n", "<table>")) for t in special + others}
    settings = {"add_bos_token": False, "add_eos_token": True, "added_tokens_decoder": added, "bos_token": "<bos>",
                "clean_up_tokenization_spaces": False, "do_lower_case": True, "eos_token": "<eos>", "pad_token": "<pad>",
                "model_max_length": 1000000000000000019884624838656, "padding_side": "right", "unk_token": "<unk>",
                "tokenizer_class": "GemmaTokenizer"}
    common.write_json(folder / "tokenizer_config.json", settings)
    lower = FOLDER / "siglip2-lower"
    lower.mkdir()
    settings = {"tokenizer_class": "Siglip2Tokenizer", "add_bos_token": True, "model_max_length": MOST}
    common.write_json(lower / "tokenizer_config.json", settings)
    return len(tokens)


def save_xlm(folder):
    """A unigram model with SentencePiece's nmt_nfkc rules; special tokens where XLM-RoBERTa has them."""
    make_tokens.train(folder / "spiece.model", CORPUS, vocab_size=900, normalization_rule_name="nmt_nfkc",
                      character_coverage=0.98)
    proto = sentencepiece_model_pb2.ModelProto.FromString((folder / "spiece.model").read_bytes())
    (folder / "spiece.model").unlink()
    pieces = [(p.piece, p.score) for p in proto.pieces if p.type == 1]
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, ("<mask>", 0.0)]
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap,
                                    mask_token="<mask>", model_max_length=512)
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def save_added(folder):
    """Words of the lines as added tokens; capital letters, which the normalised line does not have; a mark of its own."""
    folder.mkdir()
    size = json.loads((TOKENS / "clip" / "vocab.json").read_text()).__len__()
    added = {"elephant": size, "DOG": size + 1, "<pad>": size + 2, "photo of": size + 3}
    (folder / "added_tokens.json").write_text(json.dumps(added, indent=2) + "\n")
    common.write_json(folder / "special_tokens_map.json", {
        "additional_special_tokens": ["photo of", "Red", "</s>"], "pad_token": "<pad>",
        "bos_token": token("<|startoftext|>", normalized=True), "eos_token": token("<|endoftext|>", normalized=True),
        "unk_token": "<|endoftext|>"})
    common.write_json(folder / "tokenizer_config.json", {"model_max_length": MOST, "tokenizer_class": "CLIPTokenizer",
                                                         "pad_token": "!"})


def tokenize(name, folder, **options):
    tokenizer = AutoTokenizer.from_pretrained(folder) if not options.get("kind") else options["kind"].from_pretrained(folder)
    ids = tokenizer(LINES, truncation=True, max_length=MOST)["input_ids"]
    print(name, type(tokenizer).__name__, len(tokenizer), ids[0][:12], tokenizer.padding_side, tokenizer.pad_token_id)
    packed, ends = make_tokens.pack(ids)
    return {name + ".ids": packed, name + ".ends": ends}


# ---- models ----

def derivative(model, embed, names, pixels, seed):
    """The embeddings, and the gradients of their product with random numbers."""
    out = {}
    for dtype in (torch.float32, torch.float64):
        model = model.to(dtype).eval()
        model.zero_grad()
        embedding = embed(model, pixels.to(dtype))
        cotangent = torch.randn(embedding.shape, generator=common.generator(seed))
        (embedding * cotangent.to(dtype)).sum().backward()
        out[dtype] = {"image_embeddings": embedding.detach()} | {
            "grad." + names(k): p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    file = {"pixel_values": pixels, "cotangent": cotangent}
    for k, v in out[torch.float64].items():
        file[k] = v.float().contiguous()
        file["error." + k] = (out[torch.float32][k].double() - v).abs().max().float().reshape(1)
    return file


def save_both(name, model, tokenizer, size, length, preprocessor):
    folder = FOLDER / name
    model.logit_scale.data.fill_(3.9)
    model.half().save_pretrained(folder)
    model = type(model).from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
    common.write_json(folder / "preprocessor_config.json", preprocessor)
    lines = (TEXT / "lines.txt").read_text(encoding="utf-8").split("\n")[:-1]
    ids = tokenizer(lines, padding="max_length", truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    pixels = torch.randn(3, 3, size, size, generator=common.generator(801))
    file = make_towers.expected(model, ids, pixels)
    file |= derivative(model, lambda m, x: m.get_image_features(pixel_values=x).pooler_output, str, pixels, 802)
    save_file(file, FOLDER / (name + ".safetensors"))


def save_alone(name, model, embed, names, size, preprocessor):
    folder = FOLDER / name
    model.save_pretrained(folder)
    common.write_json(folder / "preprocessor_config.json", preprocessor)
    pixels = torch.randn(3, 3, size, size, generator=common.generator(803))
    save_file(derivative(model, embed, names, pixels, 804), FOLDER / (name + ".safetensors"))
    print(name, sorted(load_file(folder / "model.safetensors"))[:3])


EVA = [("blocks.", "vision_model.encoder.layers."), ("norm1.", "layer_norm1."), ("norm2.", "layer_norm2."),
       ("attn.norm.", "attn.inner_norm."), ("mlp.norm.", "mlp.inner_norm."), ("attn.proj.", "attn.out_proj."),
       ("attn.", "self_attn."), ("cls_token", "vision_model.embeddings.class_embedding"), ("head.", "visual_projection."),
       ("pos_embed", "vision_model.embeddings.position_embedding.weight"),
       ("patch_embed.proj.", "vision_model.embeddings.patch_embedding.")]


def eva_name(name):
    if name.startswith("norm."):
        return "vision_model.post_layernorm." + name.removeprefix("norm.")
    for theirs, ours in EVA:
        name = name.replace(theirs, ours)
    return name


def save_eva():
    """40 pixels: five patches a side, which the rotary positions scale to 16."""
    model = Eva(img_size=40, patch_size=8, embed_dim=24, depth=2, num_heads=2, mlp_ratio=4 * 2 / 3, qkv_fused=False,
                swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16),
                num_classes=28, global_pool="token")
    common.randomise(model, 816)
    weights = {"visual.trunk." + k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(weights, FOLDER / "eva-weights.safetensors")
    pixels = torch.randn(3, 3, 40, 40, generator=common.generator(803))
    save_file(derivative(model, lambda m, x: m(x), eva_name, pixels, 804), FOLDER / "eva.safetensors")


def save_crops():
    steps = transforms.Compose([
        transforms.Resize(18, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop((18, 18)),
        transforms.ToTensor(), transforms.Normalize(common.MEAN, common.STD)])
    file = {}
    sizes = [(18, 18 + d) for d in range(8)] + [(21, 18), (23, 18), (40, 61), (24, 34), (34, 24), (64, 29), (11, 7)]
    for n, (height, width) in enumerate(sizes):
        rng = np.random.default_rng(n)
        array = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        file[f"picture.{n}"] = torch.from_numpy(array)
        file[f"out.{n}"] = steps(Image.fromarray(array)).contiguous()
    save_file(file, FOLDER / "crop.safetensors")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    gemma, xlm = FOLDER / "siglip2", FOLDER / "metaclip2"
    gemma.mkdir(), xlm.mkdir()
    size = save_gemma(gemma)
    xlm_size = save_xlm(xlm)
    save_added(FOLDER / "added")
    vision = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, image_size=32, patch_size=8)
    text = dict(hidden_size=20, num_hidden_layers=1, num_attention_heads=2, intermediate_size=36)
    siglip = {**PREPROCESSOR, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 32, "width": 32},
              "image_processor_type": "SiglipImageProcessor"}
    clip = {**PREPROCESSOR, "image_mean": common.MEAN, "image_std": common.STD, "size": {"shortest_edge": 32},
            "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "image_processor_type": "CLIPImageProcessor"}
    # SigLIP 2: the text tower is narrower than the vision tower, as in giant-opt.
    config = SiglipConfig(vision_config=vision, text_config={**text, "vocab_size": size, "max_position_embeddings": 16,
                                                             "projection_size": 24, "eos_token_id": 1, "pad_token_id": 0,
                                                             "bos_token_id": 2})
    model = common.randomise(SiglipModel(config), 811)
    model.logit_bias.data.fill_(-8.5)
    save_both("siglip2", model, AutoTokenizer.from_pretrained(gemma), 32, 16, siglip)
    # MetaCLIP 2
    config = MetaClip2Config(vision_config={**vision, "projection_dim": 28, "hidden_act": "quick_gelu"},
                             text_config={**text, "vocab_size": xlm_size, "max_position_embeddings": 20, "eos_token_id": 2,
                                          "bos_token_id": 0, "pad_token_id": 1, "projection_dim": 28, "hidden_act": "gelu"},
                             projection_dim=28)
    model = common.randomise(MetaClip2Model(config), 812)
    save_both("metaclip2", model, AutoTokenizer.from_pretrained(xlm), 32, 20, clip)
    # one tower alone
    prefixed = "vision_model.{}".format
    config = CLIPVisionConfig(**vision, projection_dim=28, hidden_act="quick_gelu", attn_implementation="sdpa")
    save_alone("clip-vision", common.randomise(CLIPVisionModel(config), 813), lambda m, x: m(pixel_values=x).pooler_output,
               prefixed, 32, clip)
    save_alone("clip-vision-projected", common.randomise(CLIPVisionModelWithProjection(config), 814),
               lambda m, x: m(pixel_values=x).image_embeds, str, 32, clip)
    config = SiglipVisionConfig(**vision, attn_implementation="sdpa")
    save_alone("siglip-vision", common.randomise(SiglipVisionModel(config), 815), lambda m, x: m(pixel_values=x).pooler_output,
               prefixed, 32, siglip)
    save_eva()
    save_crops()
    # tokens
    lower = FOLDER / "copied"
    shutil.copytree(gemma, lower)
    shutil.copy(FOLDER / "siglip2-lower" / "tokenizer_config.json", lower)
    file = tokenize("gemma", gemma) | tokenize("siglip2", lower) | tokenize("xlm", xlm)
    shutil.rmtree(lower)
    shutil.copytree(TOKENS / "clip", lower)
    for path in (FOLDER / "added").iterdir():
        shutil.copy(path, lower)
    file |= tokenize("added", lower, kind=CLIPTokenizer)
    shutil.rmtree(lower)
    save_file(file, FOLDER / "tokens.safetensors")


if __name__ == "__main__":
    main()
