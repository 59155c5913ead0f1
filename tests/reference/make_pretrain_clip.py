"""Makes tests/fixtures/clip: contrastive pre-training of a small CLIPModel of transformers, in float64.

  weights.safetensors   random weights, and the inputs: images (7, 3, 16, 16) in [0, 1], ids (7, 6), padded with the end
  step.safetensors      the loss, the share of pairs that are each other's nearest, and of each gradient its norm and
                        evenly spaced elements
  golden.safetensors    ten updates, each with other pairs: losses, gradient norms, the weights afterwards; errors of
                        PyTorch's float32
  lines.txt, merges.txt a tokenizer learnt from the lines by the plainest code; ids.safetensors: transformers' tokens of
                        the lines with it
"""
import collections
import json
import pathlib
import re
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from common import FIXTURES, MEAN, STD, generator, pictures, randomise

KEPT = 96  # elements of a gradient, at most
N, LENGTH, VOCABULARY = 7, 6, 41
UPDATES = 10
LR, BETAS, EPS, DECAY, CLIP = 2e-3, (0.9, 0.98), 1e-6, 0.2, 1.0
STILL = 0.05  # a parameter that moves by less than this share of a step has no gradient: a softmax removes the keys' biases

LINES = """a red ball on a green table
two red balls, left of the blue ball
Three small dogs; one dog is asleep
the dog's ball isn't red
"A cat" facing left, with 12 spots
a cat facing right with no spots
a sleeping cat   on the table
\u00c9t\u00e9: a caf\u00e9 \u2014 na\u00efve \U0001f408
balls balls balls
""".splitlines()
LEARNT = 560  # tokens


def make_model():
    tower = dict(num_hidden_layers=2, hidden_act="quick_gelu", projection_dim=20)
    text = dict(tower, hidden_size=12, num_attention_heads=3, intermediate_size=24, vocab_size=VOCABULARY,
                max_position_embeddings=9, bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1,
                pad_token_id=VOCABULARY - 1)
    vision = dict(tower, hidden_size=16, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    config._attn_implementation = "sdpa"  # the other one computes its softmax in float32
    model = randomise(CLIPModel(config), 500)
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
    return model.eval()


def make_inputs():
    g = generator(501)
    ids = torch.full((N, LENGTH), VOCABULARY - 1)
    for i in range(N):
        words = 1 + i % (LENGTH - 2)
        ids[i, 0] = VOCABULARY - 2
        ids[i, 1:1 + words] = torch.randint(0, VOCABULARY - 2, (words,), generator=g)
    return pictures(N, 16, 502), ids


def forward(model, images, ids, dtype):
    mean, std = (torch.tensor(v, dtype=dtype).view(1, 3, 1, 1) for v in (MEAN, STD))
    out = model(input_ids=ids, pixel_values=(images.to(dtype) - mean) / std)
    logits, target = out.logits_per_image, torch.arange(N)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    right = [(a.argmax(-1) == target).double().mean() for a in (logits, logits.T)]
    return loss, (right[0] + right[1]) / 2


def one_step(images, ids, dtype):
    model = make_model().to(dtype)
    loss, accuracy = forward(model, images, ids, dtype)
    loss.backward()
    return loss.detach(), accuracy, {k: p.grad.detach() for k, p in model.named_parameters()}


def train(images, ids, dtype):
    model = make_model().to(dtype)
    named = dict(model.named_parameters())
    start = {k: p.detach().clone() for k, p in named.items()}
    groups = [dict(params=[p for p in named.values() if p.dim() >= 2], weight_decay=DECAY),
              dict(params=[p for p in named.values() if p.dim() < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses, norms = [], []
    for update in range(UPDATES):
        optimizer.zero_grad()
        loss, _ = forward(model, images, ids.roll(update, 0), dtype)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(named.values(), CLIP).item())
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, torch.tensor(100.0, dtype=dtype).log())
        losses.append(loss.item())
    return (torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64),
            start, {k: p.detach() for k, p in named.items()})


def save(path, tensors):
    save_file({k: v.float().reshape(v.shape or (1,)).contiguous() for k, v in tensors.items()}, path)


def make_step(folder, images, ids):
    loss, accuracy, gradients = one_step(images, ids, torch.float64)
    rough = one_step(images, ids, torch.float32)[2]
    file = {"loss": loss, "accuracy": accuracy}
    for name, gradient in gradients.items():
        flat = gradient.flatten()
        file[f"norm.{name}"] = flat.norm()
        file[f"gradient.{name}"] = flat[::-(-len(flat) // KEPT)]
    save(folder / "step.safetensors", file)
    norms = {k: v.norm().item() for k, v in gradients.items()}
    real = [k for k in norms if norms[k] > 1e-12]  # a softmax removes the keys' biases
    worst = max((rough[k].double() - gradients[k]).norm().item() / norms[k] for k in real)
    print(f"loss {loss.item():.4f}, accuracy {accuracy.item():.3f}, {len(real)} of {len(norms)} gradients, "
          f"norms {min(norms[k] for k in real):.1e} to {max(norms.values()):.1e}; float32's largest error {worst:.1e}")


def make_golden(folder, images, ids):
    losses, norms, start, end = train(images, ids, torch.float64)
    rough_losses, rough_norms, _, rough = train(images, ids, torch.float32)
    file = {"losses": losses, "norms": norms, "error.losses": (rough_losses - losses).abs(),
            "error.norms": (rough_norms - norms).abs()}
    worst = 0.0
    for name, value in end.items():
        moved = (value - start[name]).norm().item()
        file[f"after.{name}"] = value
        if moved > STILL * LR * value.numel() ** 0.5:
            worst = max(worst, (rough[name].double() - value).norm().item() / moved)
    file["error.moved"] = torch.tensor(worst)
    save(folder / "golden.safetensors", file)
    print(f"losses {losses[0]:.4f} to {losses[-1]:.4f}, norms {norms.min():.3f} to {norms.max():.3f}; "
          f"float32: {(rough_losses - losses).abs().max():.1e}, of the movement {worst:.1e}")


# ---- the tokenizer ----

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+"  # of \p{L} and \p{N}, enough for the lines above


def byte_texts():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}, printable + rest


def learn(lines, size):
    """Merges by plain counting: the most frequent pair, of several the one with the lowest ids."""
    texts, order = byte_texts()
    tokens = [texts[b] for b in order] + [texts[b] + "</w>" for b in order]
    ids = {t: i for i, t in enumerate(tokens)}
    words = collections.Counter(w for line in lines for w in re.findall(PATTERN, line.lower()))
    words = {tuple([ids[texts[b]] for b in w.encode()[:-1]] + [ids[texts[w.encode()[-1]] + "</w>"]]): n
             for w, n in words.items()}
    merges = []
    while len(tokens) + 2 < size:
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p), default=None)
        if best is None or pairs[best] < 2:
            break
        text = tokens[best[0]] + tokens[best[1]]
        merges.append(f"{tokens[best[0]]} {tokens[best[1]]}")
        if text not in ids:
            ids[text] = len(tokens)
            tokens.append(text)
        merged = collections.Counter()
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                here = word[i:i + 2] == best
                out.append(ids[text] if here else word[i])
                i += 2 if here else 1
            merged[tuple(out)] += n
        words = merged
    return tokens + ["<|startoftext|>", "<|endoftext|>"], merges


def make_tokenizer(folder):
    tokens, merges = learn(LINES, LEARNT)
    (folder / "lines.txt").write_text("\n".join(LINES) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        (made / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        (made / "merges.txt").write_text((folder / "merges.txt").read_text())
        tokenizer = CLIPTokenizer(str(made / "vocab.json"), str(made / "merges.txt"))
        rows = tokenizer(LINES, padding="max_length", truncation=True, max_length=48, return_tensors="pt")["input_ids"]
    save(folder / "ids.safetensors", {"ids": rows})
    print(f"{len(tokens)} tokens, {len(merges)} merges: {', '.join(merges[:5])}, ...")


def main():
    folder = FIXTURES / "clip"
    folder.mkdir(exist_ok=True)
    images, ids = make_inputs()
    weights = {k: v for k, v in make_model().state_dict().items() if not k.endswith("position_ids")}
    save_file({k: v.contiguous() for k, v in weights.items()} |
              {"images": images.contiguous(), "ids": ids.float()}, folder / "weights.safetensors")
    make_step(folder, images, ids)
    make_golden(folder, images, ids)
    make_tokenizer(folder)


if __name__ == "__main__":
    sys.exit(main())
