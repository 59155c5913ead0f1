"""Fixtures of attention and the ops of its gradient."""
import torch

from opcase import Cases, rand, randn


def attention(q, k, v, hidden, scale, causal):
    """q (B, Nq, H, D), k and v (B, Nk, H, D), hidden (B, M) or None: keys that no query sees -> out (B, Nq, H, D), the
    highest scores and 1 / sum exp(score - highest), both (B, H, Nq)."""
    scores = scale * torch.einsum("bqhd,bkhd->bhqk", q, k)
    if hidden is not None:
        all_keys = torch.nn.functional.pad(hidden != 0, (0, k.shape[1] - hidden.shape[1]))
        scores = scores.masked_fill(all_keys[:, None, None, :], -torch.inf)
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v), scores.amax(-1), scores.softmax(-1).amax(-1)


def inputs(b, nq, nk, h, d, spread=1.0):
    return [randn(b, nq, h, d, scale=spread), randn(b, nk, h, d, scale=spread), randn(b, nk, h, d)]


def add(cases, name, tensors, scale, causal=0, grads=None, finite=True):
    cases.add(name, tensors, lambda q, k, v, hidden=None: attention(q, k, v, hidden, scale, causal),
              {"scale": scale, "causal": causal}, grads=grads, douts=[randn(*tensors[0].shape), None, None],
              finite=finite)


def mask(b, m, ratio, left):
    """(B, M) int32: about this part of the numbers is not 0; key `left` of each sample is always visible."""
    hidden = (rand(b, m) < ratio).to(torch.int32) * torch.tensor([1, -1, 256, 2**31 - 1]).repeat(m)[:m].to(torch.int32)
    if left < m:
        hidden[:, left] = 0
    return hidden


if __name__ == "__main__":
    cases = Cases("attention")
    for b, nq, nk, h, d in [(1, 1, 1, 1, 1), (2, 31, 33, 1, 2), (1, 33, 31, 1, 3), (1, 64, 65, 1, 2), (1, 65, 64, 1, 1),
                            (1, 1, 67, 2, 1), (1, 5, 2, 2, 17), (1, 2, 3, 2, 12), (1, 3, 2, 1, 40), (1, 2, 3, 1, 64),
                            (1, 1, 3, 1, 72), (1, 2, 3, 1, 80), (1, 2, 3, 1, 128), (1, 2, 2, 1, 250), (1, 2, 2, 1, 256),
                            (1, 1, 2, 1, 257), (1, 1, 2, 1, 511), (1, 1, 2, 1, 512),
                            (1, 131, 137, 1, 1)]:
        add(cases, f"{b}x{nq}x{nk}x{h}x{d}", inputs(b, nq, nk, h, d), d**-0.5)
    for b, nq, nk, h, d in [(1, 1, 1, 1, 1), (2, 33, 33, 1, 2), (1, 131, 131, 1, 1), (1, 31, 67, 1, 2),
                            (1, 67, 31, 1, 3)]:
        add(cases, f"causal_{b}x{nq}x{nk}x{h}x{d}", inputs(b, nq, nk, h, d), d**-0.5, 1)
    add(cases, "sharp", inputs(1, 17, 65, 1, 2, spread=4.0), 1.0, finite=False)  # weights from near 1 to below 1e-20
    add(cases, "one_key", inputs(1, 5, 1, 2, 7), 0.4, grads=[2])  # the exact gradients of q and k are 0
    for grads in ([0], [1], [2], [1, 2]):
        add(cases, "wants_" + "".join("qkv"[i] for i in grads), inputs(1, 7, 5, 2, 6), 0.4, grads=grads)
    for b, nq, nk, h, d, m, ratio, left in [(2, 31, 33, 1, 2, 32, 0.5, 32), (2, 33, 64, 1, 2, 64, 0.9, 5),
                                            (1, 3, 65, 2, 1, 64, 0.7, 64), (2, 2, 67, 1, 3, 67, 1.0, 66),
                                            (1, 1, 1, 1, 3, 1, 1.0, 0), (2, 3, 7, 2, 64, 5, 0.7, 6),
                                            (2, 2, 5, 1, 72, 5, 1.0, 2), (1, 2, 5, 1, 80, 5, 0.5, 0),
                                            (1, 3, 3, 1, 128, 2, 1.0, 2), (1, 2, 3, 1, 257, 2, 0.5, 2),
                                            (1, 67, 131, 1, 1, 97, 1.0, 130)]:
        seen = nk - m + (left < m) if ratio == 1 else nk
        add(cases, f"masked{m}_{b}x{nq}x{nk}x{h}x{d}", inputs(b, nq, nk, h, d) + [mask(b, m, ratio, left)], d**-0.5,
            grads=[2] if seen == 1 else None)  # as with one_key
    for b, nq, nk, h, d, m, ratio in [(2, 33, 31, 1, 2, 31, 0.5), (1, 65, 67, 1, 2, 65, 1.0), (2, 7, 5, 1, 64, 3, 0.7)]:
        add(cases, f"causal_masked{m}_{b}x{nq}x{nk}x{h}x{d}", inputs(b, nq, nk, h, d) + [mask(b, m, ratio, 0)], d**-0.5,
            1, grads=[2] if ratio == 1 else None)
    cases.save()
