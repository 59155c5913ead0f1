"""Fixtures of the discrete denoiser: masked_positions, replace_rows, cross_entropy."""
import torch

from opcase import Cases, generator, rand, randn
from stepblock import step_block


def label(*sizes):
    return "x".join(map(str, sizes))


def random_mask(b, n, share=0.6):
    return (rand(b, n) < share).to(torch.int32)


def integers(below, *shape):
    return torch.randint(0, below, shape, generator=generator).to(torch.int32)


def positions_cases():
    cases = Cases("masked_positions")

    def positions(count):
        def function(mask):
            rows = [row.nonzero()[:count, 0].tolist() for row in mask]
            return torch.tensor([row + [-1] * (count - len(row)) for row in rows], dtype=torch.int32)
        return function
    for b, n, count in [(1, 1, 1), (2, 31, 31), (3, 33, 7), (2, 64, 65), (65, 5, 3), (5, 257, 200), (1, 577, 1),
                        (2, 1031, 1033), (33, 2, 64)]:
        cases.add(f"{label(b, n)}_room_for_{count}", [random_mask(b, n)], positions(count), {"count": count}, grads=[])
    for name, value in (("none", 0), ("all", 1)):
        cases.add(name, [torch.full((2, 37), value, dtype=torch.int32)], positions(41), {"count": 41}, grads=[])
    cases.save()


def replace_cases():
    cases = Cases("replace_rows")

    def replace(x, mask, row):
        return torch.where(mask[..., None] != 0, x.new_zeros(()) if row is None else row, x)
    for b, n, c in [(1, 1, 1), (2, 31, 3), (3, 65, 5), (1, 64, 2), (2, 7, 65), (1, 2, 64), (3, 2, 33), (1, 3, 257)]:
        mask = random_mask(b, n)
        mask[0, 0] = 1
        name = label(b, n, c)
        cases.add(name, [randn(b, n, c), mask, randn(c)], replace)
        cases.add(name + "_frozen_row", [randn(b, n, c), mask, randn(c)], replace, grads=[0])
        cases.add(name + "_row_alone", [randn(b, n, c), mask, randn(c)], replace, grads=[2])
        cases.add(name + "_zeros", [randn(b, n, c), mask, None], replace)
        dy = randn(b, n, c)
        cases.add("backward_" + name, [dy, mask], lambda d, m: (d * m[..., None]).sum((0, 1)),
                  op="replace_rows_backward_row", grads=[])
    x, mask = randn(2, 5, 17), random_mask(2, 5)
    mask[0, 1] = 1
    x[mask != 0] = float("nan")
    cases.add("masked_rows_are_ignored", [x, mask, randn(17)], replace, finite=False)
    cases.save()


def chosen_positions(b, n, m):
    """Ascending positions, fewer from sample to sample, then padding."""
    index = torch.full((b, m), -1, dtype=torch.int32)
    for i in range(b):
        count = max(1, min(n, m) - i)
        index[i, :count] = torch.randperm(n, generator=generator)[:count].sort().values
    return index


def cross_entropy(samples, weight):
    """The loss, and the share of right answers."""
    def function(logits, codes, index, step):
        logits, codes, index = logits[:samples], codes[:samples], index[:samples]
        chosen = index >= 0
        logits = logits.masked_fill(~chosen[..., None], 0.0)
        target = codes.long().gather(1, index.long().clamp(min=0))[..., None]
        loss = -torch.log_softmax(logits, -1).gather(2, target)[..., 0]
        first = (logits == logits.amax(-1, keepdim=True)).to(torch.int32).argmax(-1, keepdim=True)
        right = (first == target)[..., 0]
        count = chosen.sum(1).clamp(min=1)
        return tuple(weight * (torch.where(chosen, v, 0).sum(1) / count).sum() for v in (loss, right.to(logits.dtype)))
    return function


def entropy_gradient(samples, weight):
    """dlogits from the inputs of the backward op."""
    def function(logits, dloss, codes, index, step, highest, inverse, share):
        x = logits.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            loss = cross_entropy(samples, weight)(x, codes, index, step)[0]
        return torch.autograd.grad(loss, x)[0] * dloss
    return function


def add_entropy(cases, name, logits, codes, index, samples, weight, **options):
    step = step_block(samples=samples, weight=weight)
    cases.add(name, [logits, codes, index, step], cross_entropy(samples, weight), grads=[0],
              douts=[randn(), None], **options)


def entropy_cases():
    cases = Cases("cross_entropy")
    for b, n, m, k, samples in [(1, 1, 1, 1, 1), (1, 3, 2, 31, 1), (2, 31, 5, 33, 2), (3, 7, 7, 64, 3), (5, 65, 3, 65, 4),
                                (2, 11, 31, 17, 2), (33, 5, 2, 7, 31), (1, 2, 2, 4099, 1), (64, 2, 1, 5, 64)]:
        weight = 0.25
        index, codes = chosen_positions(b, n, m), integers(k, b, n)
        name = f"{label(b, m, k)}_of_{n}_{samples}"
        add_entropy(cases, name, 2 * randn(b, m, k), codes, index, samples, weight)
        logits = 2 * randn(b, m, k)
        highest = logits.amax(-1)
        inverse = 1 / (logits - highest[..., None]).exp().sum(-1)
        chosen = index >= 0
        share = torch.where(chosen, 1 / chosen.sum(1, keepdim=True), 0.0)
        step = step_block(samples=samples, weight=weight)
        cases.add("backward_" + name, [logits, randn(), codes, index, step, highest, inverse, share],
                  entropy_gradient(samples, weight), op="cross_entropy_backward", grads=[], jitter=0)
    # many right answers; the largest logit twice, with the code's second or first
    logits, codes, index = randn(3, 4, 13), integers(13, 3, 9), chosen_positions(3, 9, 4)
    target = codes.gather(1, index.long().clamp(min=0)).long()
    logits.scatter_(2, target[..., None], 5.0)
    add_entropy(cases, "right", logits, codes, index, 3, 0.5)
    logits = logits.clone()
    logits[0, :, 3] = logits[1, :, 9] = 5.0
    codes = torch.full((3, 9), 6, dtype=torch.int32)
    logits[..., 6] = 5.0
    add_entropy(cases, "tied", logits, codes, index, 3, 0.5, jitter=0)
    # extreme logits of one sign, and certainty
    add_entropy(cases, "large", 30 * randn(2, 5, 37) + 1000, integers(37, 2, 7), chosen_positions(2, 7, 5), 2, 0.5,
                finite=False)
    # padding and fillers may hold anything; a sample without any position counts 0
    logits, index = randn(4, 5, 19), chosen_positions(4, 9, 5)
    index[1] = -1
    index[2, 0] = -1  # padding anywhere
    logits[index < 0] = float("nan")
    logits[3] = float("inf")
    add_entropy(cases, "padding_is_ignored", logits, integers(19, 4, 9), index, 3, 0.5, finite=False)
    add_entropy(cases, "nothing_chosen", randn(2, 3, 5), integers(5, 2, 7), torch.full((2, 3), -1, dtype=torch.int32), 2,
                0.5, finite=False, jitter=0)
    cases.save()


if __name__ == "__main__":
    positions_cases()
    replace_cases()
    entropy_cases()
