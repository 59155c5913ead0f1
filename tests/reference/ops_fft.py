"""Fixtures of fft2d: sizes that clFFT supports (prime factors up to 13), and others."""
import torch

from opcase import Cases, randn


def transform(inverse):
    def function(x):
        z = torch.view_as_complex(x.contiguous())
        return torch.view_as_real(torch.fft.ifft2(z, norm="forward") if inverse else torch.fft.fft2(z))
    return function


def main():
    cases = Cases("fft2d")
    shapes = [(1, 1), (65, 1), (2, 3, 5), (3, 33, 2), (5, 13, 7), (2, 1, 11, 4), (1, 64),
              (1, 30), (2, 31, 3), (1, 1, 127), (1, 34, 3), (1, 19, 5)]
    for inverse in (0, 1):
        for shape in shapes[4:7] if inverse else shapes:  # a few suffice for the second direction
            name = ("inverse_" if inverse else "") + "x".join(map(str, shape))
            cases.add(name, [randn(*shape, 2)], transform(inverse), {"inverse": inverse}, grads=[])
    cases.add("32x64", [randn(32, 64, 2)], transform(0), {"inverse": 0}, grads=[])
    cases.save()


if __name__ == "__main__":
    main()
