"""Fixtures of the update ops: adamw, square_sum, zero. (clip_control writes bits: tests/test_update.c.)"""
import torch

from opcase import Cases, SIZES, randn
from stepblock import control_block, step_block

RATE = 0.0010000000474974513  # 1e-3 as float32, so that both sides use the same number


def torch_adamw(t, rate, options, clip, bad):
    """One step of torch.optim.AdamW from a given state."""
    def function(w, gradient, m, v, step, control):
        if bad:
            return {0: w, 2: m, 3: v}
        parameter = torch.nn.Parameter(w.clone())
        optimiser = torch.optim.AdamW([parameter], lr=rate, betas=(options["beta1"], options["beta2"]),
                                      eps=options["eps"], weight_decay=options["weight_decay"], foreach=False)
        optimiser.state[parameter] = {"step": torch.tensor(float(t - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
        parameter.grad = gradient * clip
        optimiser.step()
        state = optimiser.state[parameter]
        return {0: parameter.detach(), 2: state["exp_avg"], 3: state["exp_avg_sq"]}
    return function


def adamw_case(cases, name, state, gradient, t, rate=RATE, clip=1.0, bad=0, **changed):
    options = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01} | changed
    step = step_block(rate=rate, bias1=1 / (1 - options["beta1"] ** t), bias2=1 / (1 - options["beta2"] ** t))
    function = torch_adamw(t, rate, options, clip, bad)
    inputs = [state[0], gradient, state[1], state[2], step, control_block(clip, bad)]
    cases.add_update(name, inputs, function, options)
    after = function(*inputs)
    return after[0], after[2], after[3]


def adamw_cases():
    cases = Cases("adamw")
    state = (randn(67), torch.zeros(67), torch.zeros(67))
    for t in range(1, 6):  # each step starts from PyTorch's float32 state
        state = adamw_case(cases, f"step_{t}", state, randn(67, scale=10.0 ** (t - 4)), t)
    for n in SIZES + [257]:
        adamw_case(cases, f"size_{n}", (randn(n), randn(n, scale=0.1), randn(n) ** 2), randn(n), 7)
    for name, changed in [("clipped", {"clip": 0.25}), ("large_eps", {"eps": 0.25}), ("no_decay", {"weight_decay": 0}),
                          ("other_betas", {"beta1": 0.5, "beta2": 0.75}), ("strong_decay", {"weight_decay": 128.0}),
                          ("bad", {"bad": 1})]:
        adamw_case(cases, name, (randn(3, 11), randn(3, 11, scale=0.1), randn(3, 11) ** 2), randn(3, 11), 3, **changed)
    cases.save()


def square_sum_cases():
    cases = Cases("square_sum")
    for n, index in [(1, 0), (31, 1), (33, 2), (64, 0), (65, 1), (127, 2), (4096, 0), (4097, 1), (8195, 2)]:
        def function(x, squares, index=index):
            out = squares.clone()
            out[index] = (x * x).sum()
            return {1: out}
        cases.add_update(f"{n}_at_{index}", [randn(n), randn(3)], function, {"index": index})
    for shape in [(1,), (3, 5), (65, 2), (31,), (2, 33), (64,)]:
        cases.add_update("zero_" + "x".join(map(str, shape)), [randn(*shape)], lambda x: {0: torch.zeros_like(x)},
                         op="zero")
    cases.save()


if __name__ == "__main__":
    adamw_cases()
    square_sum_cases()
