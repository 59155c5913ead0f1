"""The evaluations by transformers and PyTorch, to compare `genhance eval ... --json` with.

usage: check_eval.py mmvp|zeroshot|retrieval MODEL DATA RESULT.json

MMVP-VLM as its authors' script has it: two rows of Questions.csv per pair, the first row's type is the folder of both,
"a photo of " before the statement, softmax over the two images, `> 0.5` picks the first, the id's parity is the truth.
"""
import csv
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor


class Model:
    def __init__(self, folder):
        # always float32: by default the library computes in the file's type
        self.model = AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder, backend="pil")
        tokenizer = self.processor.tokenizer
        longest = self.model.config.text_config.max_position_embeddings
        self.length = min(tokenizer.model_max_length, longest)
        self.scale = self.model.logit_scale.exp().item()

    @torch.no_grad()
    def images(self, paths):
        rows = []
        for path in paths:
            pixels = self.processor.image_processor(Image.open(path).convert("RGB"), return_tensors="pt").pixel_values
            rows.append(features(self.model.get_image_features(pixel_values=pixels)))
        return torch.cat(rows)

    @torch.no_grad()
    def texts(self, lines):
        ids = self.processor.tokenizer(lines, padding="max_length", truncation=True, max_length=self.length,
                                       return_tensors="pt").input_ids
        return torch.cat([features(self.model.get_text_features(input_ids=part)) for part in ids.split(64)])


def features(out):
    return out if torch.is_tensor(out) else out.pooler_output


def unit(x):
    x = x.double()
    return x / x.norm(dim=-1, keepdim=True)


def ranks(scores, right):
    order = np.argsort(-scores.numpy(), axis=1, kind="stable")
    return [int(np.where(row == r)[0][0]) for row, r in zip(order, right)]


def mmvp(model, folder):
    rows = list(csv.reader(open(folder / "Questions.csv", encoding="utf-8-sig")))
    rows = [r for r in rows if r and r[0].isdigit()]
    pictures = [folder / "MLLM_VLM Images" / rows[i // 2 * 2][1] / f"{r[0]}.jpg" for i, r in enumerate(rows)]
    pictures = [p if p.exists() else p.with_suffix(".png") for p in pictures]
    v = unit(model.images(pictures))
    t = unit(model.texts(["a photo of " + r[2] for r in rows]))
    first = []
    for i in range(len(rows)):
        pair = v[i // 2 * 2:i // 2 * 2 + 2]
        first.append((model.scale * (pair @ t[i])).float().softmax(-1)[0].item())
    right = [(p > 0.5) == (int(r[0]) % 2 == 1) for p, r in zip(first, rows)]
    hits = [a and b for a, b in zip(right[0::2], right[1::2])]
    return {"first_image": first, "right": hits,
            "average": 100 * float(np.mean([np.mean(hits[i:i + 15]) for i in range(0, len(hits), 15)]))}


def zeroshot(model, folder):
    labels = folder / "labels.tsv"
    if labels.exists():
        pairs = [line.split("\t") for line in labels.read_text().splitlines()]
        pictures, names = [folder / p for p, _ in pairs], [c for _, c in pairs]
    else:
        pictures = sorted((p for p in folder.glob("*/**/*") if p.suffix.lower() in (".png", ".jpg", ".jpeg")),
                          key=lambda p: str(p).encode())
        names = [p.relative_to(folder).parts[0] for p in pictures]
    classes = sorted(set(names), key=lambda c: c.encode())
    listed = folder / "templates.txt"
    templates = listed.read_text().splitlines() if listed.exists() else ["a photo of a {}."]
    t = unit(model.texts([x.replace("{}", c) for c in classes for x in templates]))
    means = unit(t.reshape(len(classes), len(templates), -1).mean(1))
    scores = unit(model.images(pictures)) @ means.T
    place = ranks(scores, [classes.index(n) for n in names])
    return {"rank": place, "predicted": [classes[i] for i in scores.numpy().argmax(1)],
            "top1": 100 * float(np.mean([p < 1 for p in place])), "top5": 100 * float(np.mean([p < 5 for p in place]))}


def retrieval(model, folder):
    entries = json.loads((folder / "captions.json").read_text())
    owner = [i for i, e in enumerate(entries) for _ in e["captions"]]
    v = unit(model.images([folder / e["image"] for e in entries]))
    t = unit(model.texts([c for e in entries for c in e["captions"]]))
    scores = t @ v.T
    order = np.argsort(-scores.T.numpy(), axis=1, kind="stable")
    mine = [{c for c, o in enumerate(owner) if o == i} for i in range(len(entries))]
    return {"image_ranks": ranks(scores, owner),
            "text_ranks": [next(k for k, c in enumerate(row) if c in mine[i]) for i, row in enumerate(order)]}


def compare(kind, want, got):
    if kind == "mmvp":
        ours = [p for pair in got["pairs"] for p in pair["first_image_probability"]]
        worst = max(abs(a - b) for a, b in zip(ours, want["first_image"]))
        same = [p["correct"] for p in got["pairs"]] == want["right"]
        print(f"probabilities differ by {worst:.2e} at most; pairs {'agree' if same else 'DIFFER'}; "
              f"average {got['average']:.4f} and {want['average']:.4f}")
    elif kind == "zeroshot":
        same = [r["rank"] for r in got["results"]] == want["rank"]
        print(f"ranks {'agree' if same else 'DIFFER'}; top-1 {got['top1']['percent']:.4f} and {want['top1']:.4f}, "
              f"top-5 {got['top5']['percent']:.4f} and {want['top5']:.4f}")
    else:
        same = all(got[k] == want[k] for k in want)
        print(f"ranks {'agree' if same else 'DIFFER'}")
    return same


KINDS = {"mmvp": mmvp, "zeroshot": zeroshot, "retrieval": retrieval}

if __name__ == "__main__":
    torch.set_num_threads(2)
    name, model_folder, data, result = sys.argv[1:]
    expected = KINDS[name](Model(model_folder), pathlib.Path(data))
    sys.exit(0 if compare(name, expected, json.loads(pathlib.Path(result).read_text())) else 1)
