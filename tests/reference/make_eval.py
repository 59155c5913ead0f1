"""fixtures/eval/score.safetensors: the evaluations' arithmetic on random embeddings, by PyTorch and numpy;
fixtures/eval/expected.json: whole evaluations of fixtures/text/clip on the images of fixtures/encode (check_eval.py).

Odd sizes, ties between equal embeddings, fewer classes than five. Ties go to the lower index, as in a stable sort.
MMVP-VLM is scored as in its authors' script: a float32 softmax over the two images, `> 0.5` picks the first.
"""
import csv
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file

import check_eval
from common import FIXTURES, generator

SCALE = 100.0


def unit(x):
    x = x.double()
    return x / x.norm(dim=-1, keepdim=True)


def ranks(scores, right):
    """The rank of column right[i] in row i with columns stably sorted by descending score."""
    order = np.argsort(-scores.numpy(), axis=1, kind="stable")
    return torch.tensor([int(np.where(order[i] == right[i])[0][0]) for i in range(len(order))])


def near_ties(scores, least=1e-9):
    """Differences must be exactly zero or so large that no order of summation changes the ranking."""
    gaps = np.diff(np.sort(scores.numpy(), axis=1), axis=1)
    assert not ((gaps > 1e-14) & (gaps < least)).any()


def mmvp(out):
    pairs, width = 135, 19
    g = generator(1)
    images = torch.randn(2 * pairs, width, generator=g)
    texts = 0.35 * images + torch.randn(2 * pairs, width, generator=g)
    ids = torch.arange(1, 2 * pairs + 1)
    ids[20:40] = ids[20:40].reshape(-1, 2).flip(1).reshape(-1)  # the even id first
    images[50:60] = images[50:60:2].repeat_interleave(2, 0)  # a pair of identical images: exactly 0.5
    texts[70:74] = texts[70:74:2].repeat_interleave(2, 0)
    v, t = unit(images), unit(texts)
    logits = torch.stack([SCALE * (t * v[0::2].repeat_interleave(2, 0)).sum(-1),
                          SCALE * (t * v[1::2].repeat_interleave(2, 0)).sum(-1)], -1).float()
    first = logits.softmax(-1)[:, 0]
    assert (first == 0.5).sum() >= 10
    truth = ids % 2 == 1
    right = (first > 0.5) == truth
    hit = right.reshape(-1, 2).all(1)
    out["mmvp.images"], out["mmvp.texts"], out["mmvp.ids"] = images, texts, ids.float()
    out["mmvp.probability"], out["mmvp.right"] = first, right.float()
    out["mmvp.patterns"] = hit.reshape(9, 15).float().sum(1)
    out["mmvp.average"] = (hit.reshape(9, 15).double().mean(1).mean()).float().reshape(1)


def zeroshot(out, name, n, classes, templates, seed, tie):
    width = 13
    g = generator(seed)
    prompts = torch.randn(classes * templates, width, generator=g)
    if tie:
        prompts[2 * templates:3 * templates] = prompts[:templates]  # class 2 duplicates class 0
    labels = torch.randint(classes, (n,), generator=g)
    means = unit(unit(prompts).reshape(classes, templates, width).mean(1))
    images = (0.6 * means[labels] + 0.35 * torch.randn(n, width, generator=g)).float()
    # the classes are passed on in float32, so later steps must start from those
    scores = unit(images) @ unit(means.float()).T
    if tie:
        scores[:, 2] = scores[:, 0]
    near_ties(scores)
    place = ranks(scores, labels)
    out[name + ".prompts"], out[name + ".images"], out[name + ".labels"] = prompts, images, labels.float()
    out[name + ".classes"], out[name + ".ranks"] = means.float(), place.float()
    out[name + ".predicted"] = torch.tensor(np.argmax(scores.numpy(), 1)).float()
    out[name + ".hits"] = torch.tensor([(place < k).sum() for k in (1, 5)]).float()


def retrieval(out):
    n, width = 23, 17
    g = generator(7)
    images = torch.randn(n, width, generator=g)
    owner = torch.cat([torch.arange(n), torch.randint(n, (40,), generator=g)])
    owner = owner[torch.randperm(len(owner), generator=g)]
    captions = images[owner] + 1.1 * torch.randn(len(owner), width, generator=g)
    images[5] = images[3]  # two files with the same image
    captions[11] = captions[4]
    scores = unit(captions) @ unit(images).T
    scores[:, 5] = scores[:, 3]
    scores[11] = scores[4]
    near_ties(scores)
    near_ties(scores.T)
    image_ranks = ranks(scores, owner)
    order = np.argsort(-scores.T.numpy(), axis=1, kind="stable")
    text_ranks = torch.tensor([min(int(np.where(order[i] == c)[0][0]) for c in np.where(owner == i)[0])
                               for i in range(n)])
    out["retrieval.images"], out["retrieval.captions"], out["retrieval.owner"] = images, captions, owner.float()
    out["retrieval.image_ranks"], out["retrieval.text_ranks"] = image_ranks.float(), text_ranks.float()
    out["retrieval.image_hits"] = torch.tensor([(image_ranks < k).sum() for k in (1, 5, 10)]).float()
    out["retrieval.text_hits"] = torch.tensor([(text_ranks < k).sum() for k in (1, 5, 10)]).float()


def wilson(out):
    """The ends solve (p - x)^2 = z^2 x (1 - x) / n: roots of a polynomial, not the closed form."""
    z = 1.959963984540054
    rows = []
    for hits, n in ((0, 15), (1, 15), (7, 15), (15, 15), (26, 135), (37750, 50000), (1, 1)):
        p = hits / n
        low, high = sorted(np.roots([1 + z * z / n, -2 * p - z * z / n, p * p]).real)
        rows.append([hits, n, max(low, 0), min(high, 1)])
    out["wilson"] = torch.tensor(rows, dtype=torch.float64).float()


def spectrum(out, name, n, side, seed):
    """Radial spectra of Hann-windowed channels; ring r holds the frequencies whose distance from zero rounds to r."""
    g = generator(seed)
    a = torch.rand(n, 3, side, side, generator=g)
    b = (0.5 * a.roll(1, -1) + 0.5 * torch.rand(n, 3, side, side, generator=g)).float()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
    frequency = np.fft.fftfreq(side) * side
    distance = np.sqrt(frequency[:, None] ** 2 + frequency[None] ** 2)
    ring = np.floor(distance + 0.5).astype(int)

    def transform(x):
        x = x.double().numpy()
        x = (x - x.mean((2, 3), keepdims=True)) * window[:, None] * window
        return np.fft.fft2(x)

    f, h = transform(a), transform(b)
    rows = []
    for r in range(1, side // 2 + 1):
        p, q = f[:, :, ring == r], h[:, :, ring == r]
        power, other = (np.abs(x) ** 2 for x in (p, q))
        cross = (p * q.conj()).real.sum((1, 2)) / np.sqrt(power.sum((1, 2)) * other.sum((1, 2)))
        half = 1.959963984540054 * cross.std(ddof=1) / np.sqrt(n)
        rows.append([power.mean() / side ** 4, other.mean() / side ** 4, cross.mean(), cross.mean() - half,
                     cross.mean() + half])
    out[name + ".originals"], out[name + ".images"] = a, b
    out[name + ".rings"] = torch.tensor(np.array(rows)).float()


PICTURES = ["Exact.png", "alpha.png", "crop-only.png", "enlarge.png", "one-bit.png", "palette.png", "reduce.png",
            "sub/grey-alpha.png"]
STATEMENTS = ["a dog", "two dogs, with tails", "the cat's wings", "the wings are open", "birds", "the butterfly",
              "it's closed", "a very long line"]
LABELS = ["dog", "cat", "dog", "bird", "cat", "cat", "bird", "dog"]
TEMPLATES = ["a photo of a {}", "the {}'s words"]


def runs():
    """The same folders as in tests/test_eval.c."""
    model = check_eval.Model(FIXTURES / "text" / "clip")
    pictures = FIXTURES / "encode" / "images"
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for name in ("mmvp/MLLM_VLM Images/A b", "zeroshot", "retrieval"):
            (work / name).mkdir(parents=True)
        with open(work / "mmvp" / "Questions.csv", "w") as file:
            csv.writer(file).writerows([i + 1, "A b", s] for i, s in enumerate(STATEMENTS))
        for i, name in enumerate(PICTURES):
            shutil.copy(pictures / name, work / f"mmvp/MLLM_VLM Images/A b/{i + 1}.png")
            (work / "zeroshot" / LABELS[i]).mkdir(exist_ok=True)
            shutil.copy(pictures / name, work / "zeroshot" / LABELS[i] / f"{i + 1}.png")
            shutil.copy(pictures / name, work / "retrieval" / f"{i + 1}.png")
        (work / "zeroshot" / "templates.txt").write_text("\n".join(TEMPLATES) + "\n")
        captions = [{"image": f"{i + 1}.png", "captions": [STATEMENTS[i], "a photo of " + LABELS[i]][:1 + i % 2]}
                    for i in range(len(PICTURES))]
        (work / "retrieval" / "captions.json").write_text(json.dumps(captions))
        expected = {k: check_eval.KINDS[k](model, work / k) for k in check_eval.KINDS}
    (FIXTURES / "eval" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def main():
    out = {}
    spectrum(out, "even", 4, 16, 11)
    spectrum(out, "odd", 3, 15, 12)
    mmvp(out)
    zeroshot(out, "zeroshot", 61, 9, 3, 3, True)
    zeroshot(out, "few", 10, 3, 1, 5, False)
    retrieval(out)
    wilson(out)
    folder = FIXTURES / "eval"
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in out.items()}, folder / "score.safetensors")
    runs()


if __name__ == "__main__":
    main()
