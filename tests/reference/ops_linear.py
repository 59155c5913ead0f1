"""Fixtures of add, constant, multiply, exp_scale, column_sum, linear and matmul."""
import torch

from opcase import Cases, SIZES, randn


def add_cases():
    cases = Cases("add")
    for n in SIZES + [1031]:
        cases.add(f"same_{n}", [randn(n), randn(n)], lambda a, b: a + b, {"scale": 1})
    for shape, suffix in [((2, 1), (1,)), ((3, 31), (31,)), ((2, 5, 33), (33,)), ((67, 33), (33,)), ((1, 17), (17,)),
                          ((3, 4, 6), (4, 6)), ((2, 3), ()), ((3, 64), (64,)), ((5, 1, 127), (127,))]:
        name = "x".join(map(str, shape)) + "_" + "x".join(map(str, suffix))
        cases.add(f"broadcast_{name}", [randn(*shape), randn(*suffix)], lambda a, b: a - 0.75 * b, {"scale": -0.75})
    cases.add("into_frozen", [randn(7, 9), randn(9)], lambda a, b: a + 2 * b, {"scale": 2}, grads=[0])
    cases.add("from_frozen", [randn(7, 9), randn(9)], lambda a, b: a + 2 * b, {"scale": 2}, grads=[1])
    cases.add("constant", [], lambda: torch.tensor(0.3, dtype=torch.float32).double(), {"value": 0.3}, op="constant",
              grads=[], jitter=0)
    cases.save()


def multiply_cases():
    cases = Cases("multiply")
    for n in SIZES + [1031]:
        cases.add(f"n{n}", [randn(n), randn(n)], lambda a, b: a * b)
    cases.add("rows", [randn(3, 5, 7), randn(3, 5, 7)], lambda a, b: a * b)
    for i in range(2):
        cases.add(f"one_frozen_{i}", [randn(7, 9), randn(7, 9)], lambda a, b: a * b, grads=[i])
    cases.save()


def exp_scale_cases():
    cases = Cases("exp_scale")
    for shape in [(1,), (31,), (3, 33), (64,), (5, 65), (2, 1031)]:
        name = "x".join(map(str, shape))
        cases.add(name, [randn(*shape), randn() + 1], lambda x, s: x * torch.exp(s))
    cases.add("largest", [randn(7, 17), torch.tensor(100.0).log()], lambda x, s: x * torch.exp(s), finite=False)
    for grads in ([0], [1]):
        cases.add(f"wants_{grads[0]}", [randn(4, 19), randn()], lambda x, s: x * torch.exp(s), grads=grads)
    cases.save()


def column_sum_cases():
    cases = Cases("column_sum")
    for rows, columns in [(1, 1), (1, 33), (63, 5), (64, 16), (65, 17), (131, 65), (200, 1), (31, 3), (3, 31),
                          (33, 64)]:
        attrs = {"segments": 1, "rows": rows, "columns": columns, "scale": 1.5, "rank": 1, "d0": columns}
        cases.add(f"{rows}x{columns}", [randn(rows, columns)], lambda x: 1.5 * x.sum(0), attrs, grads=[])
    attrs = {"segments": 1, "rows": 12, "columns": 6, "scale": 1, "rank": 2, "d0": 2, "d1": 3}
    cases.add("shaped", [randn(3, 4, 2, 3)], lambda x: x.sum((0, 1)), attrs, grads=[])
    for segments, rows, columns in [(3, 67, 5), (2, 1, 33), (5, 64, 3)]:
        attrs = {"segments": segments, "rows": rows, "columns": columns, "scale": -0.5, "rank": 2, "d0": segments,
                 "d1": columns}
        cases.add(f"segments_{segments}x{rows}x{columns}", [randn(segments, rows, columns)], lambda x: -0.5 * x.sum(1),
                  attrs, grads=[])
    cases.save()


def linear_cases():
    cases = Cases("linear")
    linear = torch.nn.functional.linear
    for m, n, k in [(1, 1, 1), (1, 5, 3), (31, 33, 1), (33, 1, 31), (64, 17, 7), (65, 13, 33), (3, 127, 5)]:
        cases.add(f"{m}x{n}x{k}", [randn(m, k), randn(n, k), randn(n)], linear)
    cases.add("without_bias", [randn(2, 3, 17), randn(5, 17), None], lambda x, w, b: linear(x, w))
    cases.add("frozen_weight", [randn(2, 3, 17), randn(5, 17), randn(5)], linear, grads=[0])
    cases.add("frozen_input", [randn(2, 3, 17), randn(5, 17), randn(5)], linear, grads=[1, 2])
    cases.add("bias_alone", [randn(2, 3, 17), randn(5, 17), randn(5)], linear, grads=[2])
    cases.add("vector", [randn(17), randn(5, 17), randn(5)], linear)
    adapted = lambda x, w, b, low, up: linear(x, w, b) + 1.5 * linear(low, up)
    for m, n, k, r in [(1, 1, 1, 1), (33, 5, 7, 4), (3, 65, 31, 2)]:
        cases.add(f"adapted_{m}x{n}x{k}x{r}", [randn(m, k), randn(n, k), randn(n), randn(m, r), randn(n, r)], adapted,
                  {"scale": 1.5})
    cases.add("adapted_frozen", [randn(2, 3, 17), randn(5, 17), randn(5), randn(2, 3, 4), randn(5, 4)], adapted,
              {"scale": 1.5}, grads=[0, 2, 3, 4])
    cases.add("adapted_without_bias", [randn(7, 5), randn(6, 5), None, randn(7, 2), randn(6, 2)],
              lambda x, w, b, low, up: linear(x, w) - 0.5 * linear(low, up), {"scale": -0.5})
    gelu = lambda x, w, b: torch.nn.functional.gelu(linear(x, w, b), approximate="tanh")
    for m, n, k in [(1, 1, 1), (33, 24, 7), (5, 33, 31)]:
        cases.add(f"gelu_{m}x{n}x{k}", [randn(m, k), randn(n, k), randn(n)], gelu, {"gelu": 1})
    cases.add("gelu_frozen", [randn(2, 3, 17), randn(16, 17), randn(16)], gelu, {"gelu": 1}, grads=[])
    cases.add("gelu_kept", [randn(2, 3, 17), randn(16, 17), randn(16)], lambda x, w, b: (gelu(x, w, b), linear(x, w, b)),
              {"gelu": 1}, douts=[randn(2, 3, 16), None])
    cases.save()


def matmul_cases():
    cases = Cases("matmul")
    for ta in (0, 1):
        for tb in (0, 1):
            def product(a, b, ta=ta, tb=tb):
                return (a.T if ta else a) @ (b.T if tb else b)
            for m, n, k in [(1, 1, 1), (31, 33, 5), (17, 7, 64), (2, 65, 3)]:
                a, b = randn(*((k, m) if ta else (m, k))), randn(*((n, k) if tb else (k, n)))
                cases.add(f"{'t' if ta else 'n'}{'t' if tb else 'n'}_{m}x{n}x{k}", [a, b], product,
                          {"trans_a": ta, "trans_b": tb})
    cases.add("folded", [randn(2, 3, 5), randn(5, 7)], lambda a, b: a @ b)
    cases.add("frozen_a", [randn(4, 5), randn(5, 7)], lambda a, b: a @ b, grads=[1])
    cases.add("frozen_b", [randn(4, 5), randn(5, 7)], lambda a, b: a @ b, grads=[0])
    cases.save()


def halves_cases():
    cases = Cases("halves")  # the forward's parts are rounded: src/ops/check/drawn.c
    for n, k in [(1, 1), (3, 31), (4, 33), (2, 65), (17, 16)]:
        cases.add(f"down_{n}x{k}", [randn(3 * n, k)], lambda d, n=n: d[:n] + d[2 * n:], {"up": 0}, op="halves_backward", grads=[])
        cases.add(f"up_{n}x{k}", [randn(n, 3 * k)], lambda d, k=k: d[:, :k] + d[:, k:2 * k], {"up": 1}, op="halves_backward", grads=[])
    cases.save()


if __name__ == "__main__":
    add_cases()
    column_sum_cases()
    linear_cases()
    matmul_cases()
    halves_cases()
    multiply_cases()
    exp_scale_cases()
