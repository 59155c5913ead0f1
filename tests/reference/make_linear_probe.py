"""fixtures/eval/linear_probe.safetensors: ridge regression onto labels by numpy's least squares, in float64.

eval/linear_probe.h states the problem. Here it is solved as one least-squares problem with the penalty as further rows,
which is not how genhance solves it (normal equations). One element never varies; one class is rare.
"""
import numpy as np
import torch
from safetensors.torch import save_file

from common import FIXTURES, generator

TRAIN, TEST, WIDTH, CLASSES, RIDGE = 97, 31, 23, 5, 0.1


def main():
    g = generator(11)
    labels = torch.randint(CLASSES - 1, (TRAIN + TEST,), generator=g)
    labels[3] = CLASSES - 1
    centres = torch.randn(CLASSES, WIDTH, generator=g)
    rows = centres[labels] + 1.3 * torch.randn(TRAIN + TEST, WIDTH, generator=g)
    rows[:, 7] = 0
    x = rows.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean, std = x[:TRAIN].mean(0), x[:TRAIN].std(0)
    z = np.where(std > 1e-9, (x - mean) / np.where(std > 1e-9, std, 1), 0)
    y = np.eye(CLASSES)[labels[:TRAIN].numpy()]
    bias = y.mean(0)
    a = np.concatenate([z[:TRAIN] / np.sqrt(TRAIN), np.sqrt(RIDGE) * np.eye(WIDTH)])
    b = np.concatenate([(y - bias) / np.sqrt(TRAIN), np.zeros((WIDTH, CLASSES))])
    weights = np.linalg.lstsq(a, b, rcond=None)[0]
    scores = z[TRAIN:] @ weights + bias
    gaps = np.diff(np.sort(scores, axis=1), axis=1)[:, -1]
    assert gaps.min() > 1e-6  # no rounding decides a class
    other = rows + 0.5 * torch.randn(rows.shape, generator=g)
    cosines = torch.nn.functional.cosine_similarity(rows.double(), other.double())
    save_file({"rows": rows, "labels": labels.float(), "scores": torch.tensor(scores).float(),
               "classes": torch.tensor(scores.argmax(1)).float(), "sizes": torch.tensor([TRAIN, CLASSES]).float(),
               "ridge": torch.tensor([RIDGE]).float(), "other": other, "cosines": cosines.float()},
              FIXTURES / "eval" / "linear_probe.safetensors")


if __name__ == "__main__":
    main()
