"""Fixtures of activation, layernorm, modulate, gated_add, rmsnorm and magnitude."""
import torch
import torch.nn.functional as F

from opcase import Cases, SIZES, randn, rand

ACTIVATIONS = {
    "gelu_erf": (0, F.gelu),
    "gelu_tanh": (1, lambda x: F.gelu(x, approximate="tanh")),
    "quick_gelu": (2, lambda x: x * torch.sigmoid(1.702 * x)),
    "silu": (3, F.silu),
}
ROWS = [(1, 31), (3, 33), (65, 5), (2, 64), (4, 65), (31, 17), (1, 127), (2, 1031)]


def activation_cases():
    cases = Cases("activation")
    wide = torch.tensor([0.0, -0.0, 1e-3, -1e-3, 0.5, -0.5, 3.0, -3.0, 5.5, -5.5, 9.0, -9.0, 14.0, -14.0, 40.0, -40.0,
                         90.0, -90.0, 1e4, -1e4])
    for kind, (number, function) in ACTIVATIONS.items():
        attrs = {"kind": number}
        for n in SIZES + [1031]:
            cases.add(f"{kind}_{n}", [randn(n, scale=2.0)], function, attrs)
        cases.add(f"{kind}_wide", [wide], function, attrs, finite=False)
        cases.add(f"{kind}_negative", [rand(33, low=-5.0, high=-2.5)], function, attrs)
        cases.add(f"{kind}_matrix", [randn(3, 4, 5)], function, attrs)
    cases.save()


def layernorm_cases():
    cases = Cases("layernorm")

    def norm(x, w=None, b=None):
        return F.layer_norm(x, x.shape[-1:], w, b, 1e-5)

    for rows, columns in ROWS:
        cases.add(f"{rows}x{columns}", [randn(rows, columns, shift=0.3), randn(columns), randn(columns)], norm,
                  {"eps": 1e-5})
    # One column equals its mean: y = bias, and the other gradients are 0. Two normalise to 1 and -1, up to eps.
    cases.add("one_column", [randn(3, 1), randn(1), randn(1)], norm, {"eps": 1e-5}, grads=[2])
    cases.add("plain", [randn(2, 3, 33), None, None], norm, {"eps": 1e-5})
    cases.add("frozen_affine", [randn(2, 3, 33), randn(33), randn(33)], norm, {"eps": 1e-5}, grads=[0])
    cases.add("frozen_input", [randn(2, 3, 33), randn(33), randn(33)], norm, {"eps": 1e-5}, grads=[1, 2])
    cases.add("weight_alone", [randn(70, 5), randn(5), randn(5)], norm, {"eps": 1e-5}, grads=[1])
    cases.add("vector", [randn(40), randn(40), randn(40)], norm, {"eps": 1e-5})
    cases.add("two_columns", [randn(3, 2), randn(2), randn(2)], lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 0.5),
              {"eps": 0.5})
    cases.add("large_eps", [randn(3, 20, scale=0.1), randn(20), randn(20)],
              lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 0.5), {"eps": 0.5})
    cases.add("far_mean", [randn(3, 65, shift=30.0), randn(65), randn(65)], norm, {"eps": 1e-5}, finite=False)
    cases.save()


def modulate_cases():
    cases = Cases("modulate")

    def modulate(x, shift, scale):
        return (1 + scale[:, None]) * F.layer_norm(x, x.shape[-1:], None, None, 1e-6) + shift[:, None]

    for b, n, c in [(1, 1, 5), (2, 3, 31), (3, 1, 33), (1, 65, 7), (2, 67, 5), (2, 4, 64), (1, 5, 65), (1, 2, 519)]:
        cases.add(f"{b}x{n}x{c}", [randn(b, n, c), randn(b, c), randn(b, c)], modulate, {"eps": 1e-6})
    for grads in ([0], [1], [2], [0, 2]):
        cases.add("wants_" + "".join(map(str, grads)), [randn(2, 5, 19), randn(2, 19), randn(2, 19)], modulate,
                  {"eps": 1e-6}, grads=grads)
    cases.save()


def gated_add_cases():
    cases = Cases("gated_add")

    def gated(x, f, gate):
        return x + gate[:, None] * f

    for b, n, c in [(1, 1, 1), (2, 3, 31), (3, 1, 33), (1, 65, 7), (2, 67, 5), (2, 4, 64), (1, 5, 65), (1, 2, 519)]:
        cases.add(f"{b}x{n}x{c}", [randn(b, n, c), randn(b, n, c), randn(b, c)], gated)
    for grads in ([0], [1], [2], [1, 2]):
        cases.add("wants_" + "".join(map(str, grads)), [randn(2, 5, 19), randn(2, 5, 19), randn(2, 19)], gated,
                  grads=grads)
    cases.save()


def rmsnorm_cases():
    cases = Cases("rmsnorm")

    def norm(x, w):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w

    for rows, columns in ROWS:
        cases.add(f"{rows}x{columns}", [randn(rows, columns), randn(columns)], norm, {"eps": 1e-6})
    cases.add("one_column", [randn(3, 1), randn(1)], lambda x, w: x * torch.rsqrt(x * x + 0.5) * w, {"eps": 0.5})
    cases.add("heads", [randn(2, 3, 4, 16), randn(16)], norm, {"eps": 1e-6})
    cases.add("frozen_weight", [randn(2, 3, 33), randn(33)], norm, {"eps": 1e-6}, grads=[0])
    cases.add("frozen_input", [randn(70, 5), randn(5)], norm, {"eps": 1e-6}, grads=[1])
    cases.save()


def magnitude_cases():
    cases = Cases("magnitude")

    def magnitude(scale):
        def function(w, m, a, b):
            norm = torch.linalg.norm(w + scale * b @ a, dim=1).detach()
            return m / norm - 1, 1 / norm
        return function

    # rows, columns, rank. A magnitude is about twice its row's norm, so that the gate does not cancel.
    for n, k, r in [(1, 31, 1), (3, 33, 2), (65, 5, 3), (31, 64, 16), (4, 65, 7), (64, 17, 1), (1, 127, 4), (2, 1031, 5)]:
        cases.add(f"{n}x{k}x{r}", [randn(n, k), rand(n, low=1.5, high=2.5) * k ** 0.5, randn(r, k), randn(n, r)],
                  magnitude(0.75), {"scale": 0.75}, grads=[1], douts=[randn(n), None])
    cases.add("one_column", [randn(3, 1), randn(3), randn(2, 1), randn(3, 2)], magnitude(1.5), {"scale": 1.5}, grads=[1],
              douts=[randn(3), None])
    cases.add("no_product", [randn(33, 31), randn(33), randn(2, 31), torch.zeros(33, 2)], magnitude(2.0), {"scale": 2.0},
              grads=[1], douts=[randn(33), None])
    cases.add("frozen", [randn(5, 31), randn(5), randn(2, 31), randn(5, 2)], magnitude(0.5), {"scale": 0.5}, grads=[])
    cases.save()


if __name__ == "__main__":
    activation_cases()
    layernorm_cases()
    modulate_cases()
    gated_add_cases()
    rmsnorm_cases()
    magnitude_cases()
