"""Fixtures of the method: normalize_image, gaussian_sample, gaussian_kl, flow_interpolate, mse_loss, dropout."""
import torch

from opcase import Cases, SIZES, rand, randn
from stepblock import step_block

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def normalize_cases():
    cases = Cases("normalize_image")
    attrs = {f"{kind}{c}": v[c] for kind, v in (("mean", CLIP_MEAN), ("std", CLIP_STD)) for c in range(3)}

    def normalize(x):
        mean, std = (torch.tensor(v, dtype=torch.float64).to(x.dtype).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
        return (x - mean) / std
    for b, h, w in [(1, 1, 1), (2, 5, 13), (3, 8, 4), (1, 17, 19), (5, 3, 11), (1, 2, 31), (1, 33, 2), (2, 1, 64),
                    (1, 65, 1), (31, 1, 2)]:
        cases.add(f"{b}x3x{h}x{w}", [rand(b, 3, h, w)], normalize, attrs)
    cases.save()


def sample(moments, eps):
    mean, logvar = moments.chunk(2, 1)
    return (mean + torch.exp(0.5 * logvar.clamp(-30, 20)) * eps - 0.1159) * 0.3611


def gaussian_cases():
    cases = Cases("gaussian_sample")
    attrs = {"shift": 0.1159, "scale": 0.3611}
    for b, c, h, w in [(1, 1, 1, 1), (2, 1, 1, 31), (3, 4, 3, 5), (2, 16, 4, 4), (1, 5, 13, 1), (1, 2, 33, 17),
                       (1, 1, 1, 64), (2, 1, 65, 1), (1, 65, 1, 2), (64, 1, 1, 1)]:
        cases.add(f"{b}x{c}x{h}x{w}", [randn(b, 2 * c, h, w), randn(b, c, h, w)], sample, attrs, grads=[0])
    moments = randn(2, 2, 1, 3)
    moments[0, 1, 0] = torch.tensor([-45.0, -29.0, -31.0])
    cases.add("clamped_below", [moments, randn(2, 1, 1, 3)], sample, attrs, grads=[0], finite=False)
    moments = randn(2, 2, 1, 3)
    moments[:, 1] = torch.tensor([[19.0, 25.0, 20.5], [18.0, 21.0, 30.0]]).view(2, 1, 3)
    cases.add("clamped_above", [moments, randn(2, 1, 1, 3)], sample, attrs, grads=[0], finite=False)
    cases.save()


def per_sample(values, weight):
    return weight * values.reshape(values.shape[0], -1).mean(1).sum()


def kl_cases():
    cases = Cases("gaussian_kl")

    def kl(samples, weight):
        def function(moments, step):
            mean, logvar = moments[:samples].chunk(2, 1)
            logvar = logvar.clamp(-30, 20)
            return per_sample(0.5 * (mean ** 2 + logvar.exp() - 1 - logvar), weight)
        return function
    for b, c, h, w, samples in [(1, 1, 1, 1, 1), (2, 3, 5, 7, 2), (4, 16, 2, 2, 3), (3, 1, 31, 3, 1), (2, 1, 1, 33, 2),
                                (3, 1, 64, 1, 2), (1, 2, 1, 65, 1), (1, 65, 1, 2, 1), (33, 1, 1, 2, 31),
                                (64, 1, 2, 1, 64)]:
        step = step_block(samples=samples, weight=0.125)
        cases.add(f"{b}x{c}x{h}x{w}_{samples}", [randn(b, 2 * c, h, w), step], kl(samples, 0.125), grads=[0])
    moments = randn(2, 2, 1, 3)
    moments[0, 1, 0] = torch.tensor([-45.0, -29.0, 5.0])
    cases.add("clamped", [moments, step_block(samples=2, weight=0.5)], kl(2, 0.5), grads=[0], finite=False)
    moments = randn(3, 4, 1, 5)
    moments[2] = float("nan")
    cases.add("filler_is_ignored", [moments, step_block(samples=2, weight=0.5)], kl(2, 0.5), grads=[0], finite=False)
    cases.save()


def flow_cases():
    cases = Cases("flow_interpolate")

    def flow(noise_at_one):
        def function(x1, x0, t):
            s = t.view(-1, *[1] * (x1.dim() - 1))
            return ((1 - s) * x1 + s * x0, x0 - x1) if noise_at_one else (s * x1 + (1 - s) * x0, x1 - x0)
        return function
    for noise_at_one in (0, 1):
        for shape in [(1, 1), (3, 31), (2, 5, 13), (4, 4, 4, 4), (5, 127), (2, 33), (3, 64), (1, 65), (65, 3)]:
            name = f"{'noise' if noise_at_one else 'data'}_at_one_" + "x".join(map(str, shape))
            cases.add(name, [randn(*shape), randn(*shape), rand(shape[0])], flow(noise_at_one),
                      {"noise_at_one": noise_at_one}, grads=[])
    cases.save()


def mse_cases():
    cases = Cases("mse_loss")

    def mse(samples, weight):
        return lambda pred, target, step: per_sample((pred[:samples] - target[:samples]) ** 2, weight)
    for shape in [(1, n) for n in SIZES] + [(3, 31), (2, 5, 13), (4, 33), (2, 4099)]:
        step = step_block(samples=shape[0], weight=0.25)
        cases.add("x".join(map(str, shape)), [randn(*shape), randn(*shape), step], mse(shape[0], 0.25), grads=[0])
    cases.add("ragged", [randn(5, 7), randn(5, 7), step_block(samples=2, weight=1 / 256)], mse(2, 1 / 256), grads=[0])
    pred = randn(3, 17)
    pred[2] = float("nan")
    cases.add("filler_is_ignored", [pred, randn(3, 17), step_block(samples=2, weight=0.5)], mse(2, 0.5), grads=[0],
              finite=False)
    cases.save()


def dropout_cases():
    cases = Cases("dropout")
    for shape, p in [((1, 1), 0.1), ((3, 31), 0.5), ((2, 5, 13), 0.25), ((1, 1031), 0.1), ((2, 33), 0.5), ((64,), 0.25),
                     ((3, 65), 0.1)]:
        mask = (rand(*shape) >= p).float()
        name = "masked_" + "x".join(map(str, shape))
        cases.add(name, [randn(*shape), None, mask], lambda x, _, m, p=p: x * (m / (1 - p)), {"p": p}, grads=[0])
    step = step_block(ordinal=7)
    for shape in [(1, 1), (3, 31), (2, 4, 16), (33,), (3, 64), (65,)]:  # no element is dropped at p 0
        cases.add("none_" + "x".join(map(str, shape)), [randn(*shape), step, None], lambda x, s, _: x * 1.0,
                  {"key0": 3, "key1": 4294967295, "p": 0}, grads=[0])
    cases.save()


if __name__ == "__main__":
    normalize_cases()
    gaussian_cases()
    kl_cases()
    flow_cases()
    mse_cases()
    dropout_cases()
