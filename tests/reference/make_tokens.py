"""Makes tests/fixtures/tokens: a few thousand difficult lines with the tokens of transformers' tokenizers.

    lines.txt            the lines, separated only by line feeds (other line ends are inside lines)
    clip/                a CLIPTokenizer of 2500 merges learnt here, as vocab.json with merges.txt and tokenizer.json
    siglip/              a SiglipTokenizer of 2000 pieces trained here by sentencepiece (nmt_nfkc), as spiece.model
    odd.model            a SentencePiece model with user-defined pieces, untrimmed, without a normalisation table
    expected.safetensors for each of clip, siglip, odd: `NAME.ids`, the lines' tokens one after the other, and
                         `NAME.ends`, the end of each line. clip and siglip: unpadded, truncated to model_max_length
                         (77 and 64); odd: sentencepiece's own output, with runs of unknown pieces as one id

A second argument is a folder with the published CLIP vocabulary; then the script only tokenizes the lines with it and
writes the ids to the third argument, for a manual check.
"""
import html
import json
import pathlib
import random
import shutil
import sys
import unicodedata

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, SiglipTokenizer

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
NOUNS = """dog cat butterfly elephant keyboard window bridge umbrella snowman truck banana flower lettuce tree sword boat
sleeve mirror glass bottle child woman man wheel garden shadow water street painting clock camera bird hand""".split()
ADJECTIVES = "red blue open closed tiny wooden shiny blurry left right facing away empty half-eaten old-fashioned".split()
VERBS = "sits stands looks isn't wasn't doesn't can't they'll we've I'd I'm you're he's it's runs floats won't".split()
SCRIPTS = [(0x41, 0x7A), (0xC0, 0x17F), (0x180, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x587), (0x5D0, 0x5EA),
           (0x620, 0x64A), (0x905, 0x939), (0xE01, 0xE3A), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x13A0, 0x13F5),
           (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x3041, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0xFB00, 0xFB06),
           (0xFF01, 0xFF9F), (0x10400, 0x1044F), (0x1D400, 0x1D4FF), (0x20000, 0x200FF)]
SPACES = "\t\x0b\x0c\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff\u180e"
MARKS = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "</s>", "<unk>", "<s>", "<pad>", "\u2581",
         "</S>", "<|endoftext", "|>", "<0x41>"]
EMOJI = ["\U0001f436", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7", "\u2764\ufe0f",
         "\U0001f3f3\ufe0f\u200d\U0001f308", "1\ufe0f\u20e3", "\u263a", "\U0001f9d1\U0001f3ff\u200d\U0001f680"]
SPECIAL = ["\u0130stanbul", "Stra\u00dfe", "\ufb01re", "\u00bd", "\u2167", "x\u00b2", "e\u0301", "\u1100\u1161\u11a8", "\u0391\u03a3",
           "\u03a3\u0391\u03a3", "\u0391\u03a3'\u0391", "\u0391\u03a3.", "\u03a3", "\u0391\u00ad\u03a3", "\u1d2c\u03a3\u0301b",
           "\u01c5", "\u212b", "\u2126", "a\u0323\u0307", "\u0958", "\u3099\u304b", "\u304b\u3099", "\uff76\uff9e", "\u2026", "\u2019s",
           "rock'n'roll", "'S", "'RE", "''s", "!!'ll", "don\u2019t", "...", "--", "(c)", "3.14", "1,000", "10%", "#tag", "@you",
           "a_b", "snake_case", "C++", "\u0345", "\u1fb3", "\u2160\u03a3", "\U0001d5d4\u03a3", "\u03a3\u2019"]


def caption(r):
    words = ["a photo of", r.choice(["a", "the", "two", "3", "A", "THE"]), r.choice(ADJECTIVES), r.choice(NOUNS),
             r.choice(VERBS), r.choice(["near", "on", "under", "with", "&", "/", "+"]), r.choice(["the", "its", "their"]),
             r.choice(NOUNS) + r.choice(["", "s", "'s", ".", "!", "?!", ";", ":"])]
    text = r.choice(["", "", " ", "  "]).join([""]) + " ".join(words)
    return r.choice([str, str, str.upper, str.title, str.swapcase])(text)


def foreign(r):
    low, high = r.choice(SCRIPTS)
    return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 8)))


def anything(r):
    while True:
        c = chr(r.choice([r.randint(1, 0x2FF), r.randint(1, 0xFFFF), r.randint(1, 0x1FFFF)]))
        if c not in "\r\n" and unicodedata.category(c) not in ("Cs", "Cn", "Co"):
            return c


def line(r):
    kinds = [lambda: caption(r), lambda: foreign(r), lambda: r.choice(SPECIAL), lambda: r.choice(EMOJI) * r.randint(1, 3),
             lambda: r.choice(MARKS), lambda: "".join(r.choice(SPACES) for _ in range(r.randint(1, 4))),
             lambda: "".join(anything(r) for _ in range(r.randint(1, 6))), lambda: html.escape(r.choice(SPECIAL + MARKS)),
             lambda: r.choice(["&amp;", "&#39;", "&lt;b&gt;", "&nbsp;", "&eacute;", "%20", "\\n"]),
             lambda: "".join(chr(r.randint(1, 8)) for _ in range(2)) + "\x7f", lambda: str(r.randint(0, 10**r.randint(1, 12))),
             lambda: r.choice(NOUNS), lambda: "".join(r.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(r.randint(1, 5)))]
    style = r.random()
    if style < 0.25:
        return caption(r)
    if style < 0.28:
        return (r.choice(NOUNS) + r.choice([" ", "", ", ", "-"])) * r.randint(40, 120)
    if style < 0.31:
        return r.choice(["", " ", "   ", "\t \t", "\u3000", "  " + caption(r) + "   "])
    return r.choice(["", " ", "  ", "\u00a0"]).join(r.choice(kinds)() for _ in range(r.randint(1, 7)))


def make_lines(count, seed):
    r = random.Random(seed)
    lines = [line(r) for _ in range(count - 1)] + [" ".join(MARKS)]
    return [x.replace("\n", " ").rstrip("\r") for x in lines]


def save_clip(folder, lines):
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=512 + 2500, initial_alphabet=alphabet, end_of_word_suffix="</w>",
                                  show_progress=False)
    words = [w for x in lines for w in x.split()]
    tokenizer.train_from_iterator(words, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    letters = alphabet + [a + "</w>" for a in alphabet]
    tokens = letters + [t for t in dict.fromkeys("".join(m) for m in merges) if t not in set(letters)]
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    made = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    made.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    return CLIPTokenizer.from_pretrained(folder)


def train(path, lines, **options):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), model_type="unigram", pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    path.with_suffix(".vocab").unlink()


def pack(ids):
    ends = torch.tensor([len(x) for x in ids]).cumsum(0).to(torch.int32)
    return torch.tensor([i for x in ids for i in x], dtype=torch.int32).to(torch.uint16), ends


def odd_ids(path, lines):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [model.encode(x, out_type=int) for x in lines]


def main():
    lines = make_lines(3000, 1)
    if len(sys.argv) > 2:
        lines = make_lines(int(sys.argv[4]), 2)
        made = CLIPTokenizer.from_pretrained(sys.argv[1])
        siglip = SiglipTokenizer.from_pretrained(FIXTURES / "tokens" / "siglip")
        out = pathlib.Path(sys.argv[2])
        out.mkdir(exist_ok=True)
        (out / "lines.txt").write_bytes(("\n".join(lines) + "\n").encode())
        file = {}
        for name, t, most in (("clip", made, 77), ("siglip", siglip, 64)):
            file[name + ".ids"], file[name + ".ends"] = pack([t(x, truncation=True, max_length=most)["input_ids"] for x in lines])
        file["odd.ids"], file["odd.ends"] = pack(odd_ids(FIXTURES / "tokens" / "odd.model", lines))
        save_file(file, out / "expected.safetensors")
        return
    folder = FIXTURES / "tokens"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "clip").mkdir(parents=True)
    (folder / "siglip").mkdir()
    (folder / "lines.txt").write_bytes(("\n".join(lines) + "\n").encode())
    clip = save_clip(folder / "clip", lines)
    corpus = [x.lower() for x in lines if not any(m.lower() in x.lower() for m in MARKS)]
    train(folder / "siglip" / "spiece.model", corpus, vocab_size=2000, normalization_rule_name="nmt_nfkc",
          character_coverage=0.98)
    train(folder / "odd.model", corpus, vocab_size=900, normalization_rule_name="identity", remove_extra_whitespaces=False,
          user_defined_symbols=["photo", "ph", "</s> <", "\U0001f436", "##"], character_coverage=0.98)
    # The published folder's settings.
    token = lambda text: {"content": text, "lstrip": True, "normalized": False, "rstrip": True, "single_word": False, "special": True}
    (folder / "siglip" / "tokenizer_config.json").write_text(json.dumps({
        "added_tokens_decoder": {"1": token("</s>"), "2": token("<unk>")}, "do_lower_case": True, "eos_token": "</s>",
        "model_max_length": 64, "pad_token": "</s>", "sp_model_kwargs": {}, "tokenizer_class": "SiglipTokenizer",
        "unk_token": "<unk>"}, indent=2) + "\n")
    siglip = SiglipTokenizer.from_pretrained(folder / "siglip")
    file = {}
    for name, t in (("clip", clip), ("siglip", siglip)):
        file[name + ".ids"], file[name + ".ends"] = pack([t(x, truncation=True)["input_ids"] for x in lines])
    file["odd.ids"], file["odd.ends"] = pack(odd_ids(folder / "odd.model", lines))
    save_file(file, folder / "expected.safetensors")
    print({k: len(v) for k, v in file.items()}, "clip", len(clip), "siglip", len(siglip))


if __name__ == "__main__":
    main()
