"""Fixtures of groupnorm and conv2d."""
import torch

from opcase import Cases, randn

functional = torch.nn.functional


def groupnorm_cases():
    cases = Cases("groupnorm")

    def case(name, shape, groups, eps=1e-6, x=None, **more):
        x = randn(*shape, shift=0.5) if x is None else x
        cases.add(name, [x, randn(shape[1]), randn(shape[1])],
                  lambda x, w, b: functional.group_norm(x, groups, w, b, eps), {"groups": groups, "eps": eps}, **more)
    case("one_pixel", (2, 4, 1, 1), 2, eps=0.5)  # two elements per group: with a small eps, all gradients cancel
    for shape, groups in [((2, 4, 1, 3), 2), ((2, 6, 5, 3), 3), ((3, 8, 4, 4), 8), ((2, 32, 3, 1), 32),
                          ((1, 3, 17, 13), 1), ((1, 1, 63, 67), 1), ((1, 2, 1, 31), 2), ((1, 4, 33, 1), 2),
                          ((2, 1, 1, 64), 1), ((1, 2, 65, 1), 1), ((1, 31, 1, 3), 31), ((33, 2, 3, 1), 1),
                          ((1, 64, 1, 2), 32), ((1, 65, 2, 1), 5)]:
        case("x".join(map(str, shape)) + f"_in_{groups}", shape, groups)
    case("large_eps", (2, 4, 3, 5), 2, eps=0.5)
    case("offset", (1, 4, 7, 9), 2, x=randn(1, 4, 7, 9, shift=30.0))
    case("frozen_x", (2, 4, 3, 5), 2, grads=[1, 2])
    case("frozen_affine", (2, 4, 3, 5), 2, grads=[0])
    case("bias_alone", (2, 4, 3, 5), 2, grads=[2])
    cases.save()


def conv2d(stride, top, left, bottom, right):
    def function(x, weight, bias):
        return functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, bias, stride)
    return function


def conv2d_cases():
    cases = Cases("conv2d")
    names = ["stride", "pad_top", "pad_left", "pad_bottom", "pad_right"]

    def case(name, x, weight, geometry, bias=True, **more):
        inputs = [randn(*x), randn(*weight), randn(weight[0]) if bias else None]
        cases.add(name, inputs, conv2d(*geometry), dict(zip(names, geometry)), **more)
    same, valid, down = (1, 1, 1, 1, 1), (1, 0, 0, 0, 0), (2, 0, 0, 1, 1)
    case("one", (1, 1, 1, 1), (1, 1, 1, 1), valid)
    case("pointwise", (2, 5, 3, 7), (4, 5, 1, 1), valid)
    case("pointwise_wide", (3, 2, 5, 13), (3, 2, 1, 1), valid, bias=False)
    case("pointwise_strided", (2, 3, 5, 6), (2, 3, 1, 1), (2, 0, 0, 0, 0))
    case("pointwise_padded", (1, 2, 3, 2), (2, 2, 1, 1), same)
    case("same_pixel", (2, 3, 1, 1), (2, 3, 3, 3), same)
    case("same", (2, 3, 5, 7), (4, 3, 3, 3), same)
    case("same_16", (2, 2, 4, 16), (3, 2, 3, 3), same)
    case("same_31", (1, 2, 3, 31), (3, 2, 3, 3), same)
    case("same_33", (1, 3, 7, 33), (5, 3, 3, 3), same)
    case("same_64", (1, 2, 2, 64), (3, 2, 3, 3), same)
    case("same_65", (1, 2, 3, 65), (9, 2, 3, 3), same)
    case("same_channels", (1, 17, 4, 5), (11, 17, 3, 3), same)
    for n in (31, 33, 64, 65):
        case(f"from_{n}_channels", (1, n, 1, 3), (3, n, 1, 1), valid)
        case(f"to_{n}_channels", (1, 2, 3, 2), (n, 2, 2, 1), (1, 1, 0, 0, 0))
    case("valid", (2, 2, 6, 19), (3, 2, 3, 3), valid)
    case("down_even", (2, 3, 8, 6), (4, 3, 3, 3), down)
    case("down_odd", (2, 3, 7, 9), (2, 3, 3, 3), down)
    case("down_both", (1, 2, 9, 35), (3, 2, 3, 3), (2, 1, 1, 1, 1))
    case("patches", (2, 3, 14, 21), (5, 3, 7, 7), (7, 0, 0, 0, 0), bias=False)
    case("patches_remainder", (1, 3, 11, 13), (4, 3, 4, 4), (4, 0, 0, 0, 0))
    case("uneven", (2, 2, 5, 8), (3, 2, 2, 5), (3, 2, 0, 1, 4))
    case("frozen_x", (2, 3, 5, 7), (4, 3, 3, 3), same, grads=[1, 2])
    case("frozen_weight", (2, 3, 5, 7), (4, 3, 3, 3), same, grads=[0])
    cases.save()


if __name__ == "__main__":
    groupnorm_cases()
    conv2d_cases()
