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
    case("one_pixel", (2, 4, 1, 1), 2, eps=0.5)  # two elements a group: with a small eps, all gradients cancel
    for shape, groups in [((2, 4, 1, 3), 2), ((2, 6, 5, 3), 3), ((3, 8, 4, 4), 8), ((2, 32, 3, 1), 32),
                          ((1, 3, 17, 13), 1), ((1, 1, 63, 67), 1)]:
        case("x".join(map(str, shape)) + f"_in_{groups}", shape, groups)
    case("large_eps", (2, 4, 3, 5), 2, eps=0.5)
    case("offset", (1, 4, 7, 9), 2, x=randn(1, 4, 7, 9, shift=30.0))
    case("frozen_x", (2, 4, 3, 5), 2, grads=[1, 2])
    case("frozen_affine", (2, 4, 3, 5), 2, grads=[0])
    case("bias_alone", (2, 4, 3, 5), 2, grads=[2])
    cases.save()


if __name__ == "__main__":
    groupnorm_cases()
