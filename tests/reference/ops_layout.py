"""Fixtures of reshape, split, concat, repeat, transpose, straight_through, gather_rows, count_rows, patchify, unpatchify,
upsample2x, rope, timestep_embedding."""
import math

import torch

from opcase import Cases, generator, rand, randn
from stepblock import step_block


def label(*sizes):
    return "x".join(map(str, sizes))


def reshape_cases():
    cases = Cases("reshape")
    for old, new in [((1,), ()), ((31,), (31, 1)), ((6, 35), (2, 3, 5, 7)), ((2, 3, 4, 5, 1), (120,)),
                     ((33, 2), (2, 33)), ((64,), (1, 64, 1)), ((3, 65), (65, 3))]:
        attrs = {"rank": len(new)} | {f"d{i}": n for i, n in enumerate(new)}
        cases.add(f"{label(*old)}_to_{len(new)}", [randn(*old)], lambda x, new=new: x.reshape(new), attrs)
    cases.save()


def cut_attrs(axis, sizes):
    return {"axis": axis, "count": len(sizes)} | {f"s{i}": n for i, n in enumerate(sizes)}


CUTS = [((1,), 0, [1]), ((33, 65), 1, [31, 1, 33]), ((5, 96), 1, [32, 48, 16]), ((3, 64, 7), 1, [1, 63]),
        ((65, 3), 0, [64, 1]), ((2, 2, 5, 3, 2), 2, [2, 3]), ((67, 8), 1, [1] * 8)]


def split_cases():
    cases = Cases("split")
    for shape, axis, sizes in CUTS:
        cases.add(f"{label(*shape)}_axis{axis}", [randn(*shape)], lambda x, a=axis, s=sizes: torch.split(x, s, a),
                  cut_attrs(axis, sizes))
    sizes = [17, 16, 31]
    for missing in [[0], [2], [0, 1]]:  # pieces without a gradient give zeros
        douts = [None if i in missing else randn(5, n) for i, n in enumerate(sizes)]
        cases.add("without_" + "_".join(map(str, missing)), [randn(5, 64)], lambda x: torch.split(x, sizes, 1),
                  cut_attrs(1, sizes), douts=douts)
    cases.save()


def concat_cases():
    cases = Cases("concat")
    for shape, axis, sizes in CUTS:
        pieces = [randn(*t.shape) for t in torch.split(torch.zeros(shape), sizes, axis)]
        cases.add(f"{label(*shape)}_axis{axis}", pieces, lambda *x, a=axis: torch.cat(x, a), cut_attrs(axis, sizes))
    cases.add("absent", [None, randn(3, 5), None],
              lambda a, b, c: torch.cat([b.new_zeros(3, 4), b, b.new_zeros(3, 33)], 1), cut_attrs(1, [4, 5, 33]))
    cases.add("one_frozen", [randn(3, 5), randn(3, 7)], lambda a, b: torch.cat([a, b], 1), cut_attrs(1, [5, 7]),
              grads=[1])
    cases.save()


def repeat_cases():
    cases = Cases("repeat")
    for shape, count in [((1,), 1), ((), 3), ((33,), 65), ((31, 2), 2), ((65, 7), 3), ((64,), 2), ((3,), 64)]:
        cases.add(f"{label(count, *shape)}", [randn(*shape)], lambda x, c=count: x.expand(c, *x.shape),
                  {"count": count})
    cases.save()


def transpose_cases():
    cases = Cases("transpose")
    for shape in [(1, 1), (31, 1), (1, 33), (16, 16), (64, 65), (3, 17, 2), (2, 3, 5, 31)]:
        cases.add(label(*shape), [randn(*shape)], lambda x: x.transpose(-1, -2))
    cases.save()


def straight_through_cases():
    cases = Cases("straight_through")

    def straight(value, through):
        return value.detach() if through is None else value.detach() + (through - through.detach())
    for shape in [(1,), (33,), (3, 31), (2, 5, 64), (65, 2)]:
        name = "x".join(map(str, shape))
        cases.add(name, [randn(*shape), randn(*shape)], straight, grads=[1], finite=False)
        cases.add(name + "_stopped", [randn(*shape), None], straight, grads=[])
    cases.save()


def count_cases():
    cases = Cases("count_rows")

    def count(rows, samples):
        def function(index, step):
            chosen = index[:samples].flatten().long()
            return torch.bincount(chosen[(chosen >= 0) & (chosen < rows)], minlength=rows).to(torch.int32)
        return function
    for b, n, rows, samples in [(1, 1, 1, 1), (2, 31, 7, 2), (3, 33, 64, 2), (5, 64, 65, 5), (2, 1031, 31, 1),
                                (65, 2, 127, 64), (3, 5, 1, 0)]:
        index = torch.randint(-1, rows + 1, (b, n), generator=generator).to(torch.int32)
        cases.add(f"{b}x{n}_of_{rows}_{samples}", [index, step_block(samples=samples, weight=0.5)],
                  count(rows, samples), {"rows": rows}, grads=[])
    cases.save()


def gather_cases():
    cases = Cases("gather_rows")
    def padded(b, k):  # the later half of the indices is padding
        return torch.arange(k).expand(b, k) >= (k + 1) // 2

    def gather(x, i, c):
        rows = x.gather(1, i.long().clamp(min=0)[..., None].expand(-1, -1, c))
        return torch.where((i < 0)[..., None], 0.0, rows)

    def scatter(d, i, n, c):
        d = torch.where((i < 0)[..., None], 0.0, d)
        return d.new_zeros(len(d), n, c).scatter_add(1, i.long().clamp(min=0)[..., None].expand(-1, -1, c), d)

    sizes = [(1, 1, 1, 1), (2, 7, 33, 3), (2, 31, 5, 31), (2, 65, 17, 1), (2, 5, 64, 2), (2, 3, 16, 9)]
    for b, n, c, k, padding in [(*s, False) for s in sizes] + [(2, 7, 33, 5, True), (3, 11, 17, 31, True)]:
        index = torch.stack([torch.randperm(n, generator=generator) for _ in range(b)])
        if k > n:  # rows that occur more than once, and rows that never do
            index = torch.randint(0, n - 1, (b, k), generator=generator)
        index = index[:, :k].to(torch.int32)
        if padding:
            index[padded(b, k)] = -1
        name = f"{label(b, n, c)}_take_{k}{'_padded' if padding else ''}"
        cases.add(name, [randn(b, n, c), index], lambda x, i, c=c: gather(x, i, c))
        dy = randn(b, k, c)
        cases.add("backward_" + name, [dy, index], lambda d, i, n=n, c=c: scatter(d, i, n, c), {"rows": n},
                  op="gather_rows_backward", grads=[])
    cases.save()


def patches(x, p):
    b, c, h, w = x.shape
    return x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(b, h // p * (w // p), c * p * p)


def image(x, p, c, h, w):
    return x.reshape(-1, h // p, w // p, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(-1, c, h, w)


def patch_cases():
    for op in ("patchify", "unpatchify"):
        cases = Cases(op)
        for b, c, h, w, p in [(1, 1, 1, 1, 1), (2, 3, 28, 14, 14), (3, 16, 4, 6, 2), (1, 33, 6, 3, 3), (2, 2, 5, 7, 1),
                              (1, 31, 2, 2, 2), (1, 1, 10, 26, 2), (1, 2, 1, 31, 1), (1, 2, 65, 1, 1),
                              (1, 1, 64, 3, 1)]:
            name = f"{label(b, c, h, w)}_by_{p}"
            if op == "patchify":
                cases.add(name, [randn(b, c, h, w)], lambda x, p=p: patches(x, p), {"patch": p})
            else:
                cases.add(name, [randn(b, h * w // (p * p), c * p * p)],
                          lambda x, p=p, c=c, h=h, w=w: image(x, p, c, h, w),
                          {"patch": p, "channels": c, "height": h, "width": w})
        cases.save()


def upsample_cases():
    cases = Cases("upsample2x")
    for shape in [(1, 1, 1, 1), (2, 3, 5, 7), (1, 2, 1, 33), (1, 1, 31, 17), (1, 1, 2, 64), (1, 2, 65, 1),
                  (65, 1, 1, 2), (1, 64, 2, 1)]:
        cases.add(label(*shape), [randn(*shape)], lambda x: torch.nn.functional.interpolate(x, scale_factor=2))
        dy = randn(*shape[:2], 2 * shape[2], 2 * shape[3])
        cases.add("backward_" + label(*shape), [dy], lambda x: 4 * torch.nn.functional.avg_pool2d(x, 2),
                  op="upsample2x_backward", grads=[])
    cases.save()


def rotate(x, table, back):
    c, s = table[..., 0][:, None], (-1 if back else 1) * table[..., 1][:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([c * a - s * b, s * a + c * b], -1).reshape(x.shape)


def rope_cases():
    cases = Cases("rope")
    for b, n, h, d in [(1, 1, 1, 2), (2, 3, 5, 12), (1, 5, 1, 64), (3, 7, 2, 18), (1, 2, 3, 128), (2, 2, 33, 4),
                       (1, 31, 1, 4), (1, 65, 2, 2), (2, 1, 65, 2), (1, 3, 1, 62), (64, 1, 1, 4)]:
        angles = rand(n, d // 2, low=-math.pi, high=math.pi)
        table = torch.stack([angles.cos(), angles.sin()], -1)
        for back in (0, 1):
            cases.add(f"{label(b, n, h, d)}{'_back' if back else ''}", [randn(b, n, h, d), table],
                      lambda x, t, back=back: rotate(x, t, back), {"back": back}, grads=[0])
    cases.save()


def timestep_cases():
    """Angles are rounded to float32 at the same point as in FLUX; the reference is the exact sine of the rounded angle."""
    cases = Cases("timestep_embedding")
    for b, width, factor in [(1, 2, 1000), (3, 6, 1), (31, 10, 1000), (2, 66, 1000), (5, 256, 1000), (1, 256, 16000),
                             (33, 2, 1000), (64, 4, 1), (65, 6, 1000), (2, 64, 1000), (1, 130, 1000)]:
        half = width // 2
        exponents = -math.log(10000) * torch.arange(0, half, dtype=torch.float32) / half
        frequencies = exponents.double().exp().float()

        def embed(t, factor=factor, frequencies=frequencies):
            angles = ((factor * t.float())[:, None] * frequencies).to(t.dtype)
            return torch.cat([angles.cos(), angles.sin()], -1)

        t = rand(b)
        t[0] = 1.0
        cases.add(f"{label(b, width)}_factor{factor}", [t], embed, {"width": width, "factor": factor}, grads=[],
                  finite=False)
    cases.save()


if __name__ == "__main__":
    reshape_cases()
    split_cases()
    concat_cases()
    repeat_cases()
    transpose_cases()
    straight_through_cases()
    gather_cases()
    count_cases()
    patch_cases()
    upsample_cases()
    rope_cases()
    timestep_cases()
