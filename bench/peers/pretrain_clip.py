"""Times updates of contrastive pre-training in PyTorch: transformers' CLIPModel with the sizes of a configuration of
`genhance pretrain clip`, on random pictures that are already in memory.

    pretrain_clip.py configs/pretrain-clip.json --length TOKENS [--updates 6] [--best] [--json FILE]

--length is the longest caption's, which `genhance pretrain clip` prints. The batch goes through at once, and nothing is
decoded: neither costs PyTorch anything here. Compare with "images_per_second" of genhance's metrics.jsonl, which includes
decoding. --best: channels_last, and the model compiled.
"""
import argparse
import json
import os
import pathlib
import statistics
import time

import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel


def make_model(c):
    tower = dict(hidden_act="quick_gelu", projection_dim=c["projection"])
    text = dict(tower, hidden_size=c["text_width"], num_hidden_layers=c["text_layers"], vocab_size=c["vocabulary"],
                num_attention_heads=c["text_heads"], intermediate_size=4 * c["text_width"],
                max_position_embeddings=c["context"], bos_token_id=c["vocabulary"] - 2,
                eos_token_id=c["vocabulary"] - 1, pad_token_id=c["vocabulary"] - 1)
    vision = dict(tower, hidden_size=c["width"], num_hidden_layers=c["layers"], num_attention_heads=c["heads"],
                  intermediate_size=4 * c["width"], image_size=c["image_size"], patch_size=c["patch"])
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=c["projection"]))


def update(model, optimizer, images, ids, target):
    optimizer.zero_grad(set_to_none=True)
    logits = model(input_ids=ids, pixel_values=images).logits_per_image
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--updates", type=int, default=6)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    c = json.loads(pathlib.Path(args.config).read_text())
    torch.manual_seed(0)
    model, n = make_model(c).train(), c["batch"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=c["lr"], betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    images = torch.randn(n, 3, c["image_size"], c["image_size"])
    ids = torch.randint(0, c["vocabulary"] - 2, (n, args.length))
    ids[:, 0], ids[:, -1] = c["vocabulary"] - 2, c["vocabulary"] - 1
    run = model
    if args.best:
        images, model = images.contiguous(memory_format=torch.channels_last), model.to(memory_format=torch.channels_last)
        run = torch.compile(model)
    seconds = []
    for _ in range(args.updates + 2):
        began = time.perf_counter()
        loss = update(run, optimizer, images, ids, torch.arange(n))
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds[2:])
    print(f"{n / median:.1f} images/s, {median:.3f} s per update of {n}, loss {loss:.3f}")
    if args.json:
        result = {"images_per_second": n / median, "update_seconds_median": median, "batch": n, "threads": torch.get_num_threads()}
        pathlib.Path(args.json).write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
