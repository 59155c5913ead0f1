"""Fixtures of fft2d. Lengths whose prime factors are 2, 3, 5, 7, 11 and 13: what every device's library serves."""
import torch

from opcase import Cases, randn


def transform(inverse):
    def function(x):
        z = torch.view_as_complex(x.contiguous())
        return torch.view_as_real(torch.fft.ifft2(z, norm="forward") if inverse else torch.fft.fft2(z))
    return function


def main():
    cases = Cases("fft2d")
    shapes = [(1, 1), (1, 64), (65, 1), (2, 3, 5), (3, 33, 2), (5, 13, 7), (2, 1, 11, 4), (1, 8, 8), (64, 1, 2),
              (1, 12, 30)]
    for inverse in (0, 1):
        for shape in shapes:
            name = ("inverse_" if inverse else "") + "x".join(map(str, shape))
            cases.add(name, [randn(*shape, 2)], transform(inverse), {"inverse": inverse}, grads=[])
    cases.add("32x64", [randn(32, 64, 2)], transform(0), {"inverse": 0}, grads=[])
    cases.save()


if __name__ == "__main__":
    main()
