"""Makes tests/fixtures/text: lines of text through a tiny CLIP folder's own tokenizer and text tower.

The tokenizer is CLIP's kind (byte-level BPE, ends of words marked) with 100 merges learned here from the lines themselves;
the folder holds it as tokenizer.json and as vocab.json with merges.txt. config.json has the end-of-text id 2 of OpenAI's
files, which is not the tokenizer's: the pooled token is the one with the greatest id. `expected.safetensors`:

  input_ids        (n, 77) int64, padded with the end-of-text token, long lines truncated, keeping the end token
  text_embeddings  (n, D)  as projected, not normalised, without an attention mask
"""
import collections
import json
import shutil

import torch
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPTokenizer

import common
from common import FIXTURES

LINES = """a photo of a dog
a photo of the dog's tail, and the cat's
A PHOTO of Two Dogs;   three cats\tand 1234 birds!
it's what they'll do: we've seen, I'd say, don't you'rE
\u00e9cole, na\u00efve, \u00c9T\u00c9, Stra\u00dfe, \u0416\u0443\u043a
caf\u00e9 and cafe\u0301: the same word, composed and not

\u72ac\u3068\u732b \U0001f436\U0001f431 ...!? (#2) <b>
the butterfly's wings are open / the butterfly's wings are closed
x\u00a0y\u2003z_under-score 50% off @home ~ "quoted" 'single'
""" + "a very long line with the same words again and again " * 9 + "\n"


def byte_characters():
    """The 256 printable characters that represent bytes, in the published vocabularies' order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))], printable + rest


def learn(text, count):
    """Byte-pair merges of the most common pairs, with the last character of a word marked."""
    characters, order = byte_characters()
    table = dict(zip(order, characters))
    words = collections.Counter()
    for word in text.lower().split():
        spelled = [table[b] for b in word.encode()]
        words[tuple(spelled[:-1] + [spelled[-1] + "</w>"])] += 1
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        merged = collections.Counter()
        for word, n in words.items():
            out = []
            for part in word:
                if out and (out[-1], part) == best:
                    out[-1] += part
                else:
                    out.append(part)
            merged[tuple(out)] += n
        words = merged
    return characters, merges


def save_tokenizer(folder):
    characters, merges = learn(LINES, 100)
    tokens = characters + [c + "</w>" for c in characters] + ["".join(m) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert len(vocabulary) == len(tokens)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tokenizer, len(tokens)


if __name__ == "__main__":
    folder = FIXTURES / "text"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "clip").mkdir(parents=True)
    (folder / "lines.txt").write_text(LINES, encoding="utf-8")
    tokenizer, size = save_tokenizer(folder / "clip")
    vision = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=40, image_size=32,
                  patch_size=8, hidden_act="quick_gelu")
    text = dict(hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=88, vocab_size=size,
                max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1)
    common.save_clip(folder / "clip", vision, text, 20, 500, torch.float32)
    lines = LINES.split("\n")[:-1]
    ids = tokenizer(lines, padding="max_length", truncation=True, max_length=77, return_tensors="pt")["input_ids"]
    # Released folders are read the same way: checks that the saved files give the same tokens.
    again = CLIPTokenizer.from_pretrained(folder / "clip")(lines, padding="max_length", truncation=True, max_length=77)
    assert again["input_ids"] == ids.tolist()
    model = CLIPModel.from_pretrained(folder / "clip", attn_implementation="sdpa", dtype=torch.float32).eval()
    with torch.no_grad():
        rough = model.get_text_features(input_ids=ids).pooler_output
        exact = model.double().get_text_features(input_ids=ids).pooler_output
    file = {"input_ids": ids, "text_embeddings": exact.float(),
            "error.text_embeddings": (rough.double() - exact).abs().max().float().reshape(1)}
    save_file(file, folder / "expected.safetensors")
    print(tuple(exact.shape), "spread", exact.std().item(), "float32 error", file["error.text_embeddings"].item())
    for line, row in zip(lines, ids.tolist()):
        print(row.index(size - 1) + 1, row[:12], line[:50])
