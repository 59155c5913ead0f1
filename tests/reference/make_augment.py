"""Makes tests/fixtures/images/augment.safetensors: PIL's results for the random resized crops that the loader draws.

The images are those of tests/fixtures/encode. BOXES are the boxes that gh_augment draws for ordinals 0..3 of the stream
(seed 5, stage 1, "crop") with the rules of scale 0.9..1 and 0.08..1 in turn; the test checks that they still match,
then compares pixels.
`N.box` (4,) int64 left, top, width, height; `N.pixels` (S, S, 3) uint8: the box cut out, then resized, bicubic with
antialiasing.
"""
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers.image_utils import load_image

from common import FIXTURES

SIZES = (32, 48, 32, 17)
BOXES = {
    "reduce.png": [(21, 0, 189, 142), (80, 5, 100, 101), (21, 0, 189, 142), (97, 3, 127, 138)],
    "half-chroma.jpg": [(1, 5, 96, 76), (29, 4, 49, 50), (0, 0, 93, 81), (32, 10, 63, 68)],
    "deep.png": [(1, 0, 76, 68), (23, 3, 40, 41), (0, 1, 76, 66), (25, 9, 51, 56)],
}

tensors = {}
for name, boxes in BOXES.items():
    picture = load_image(str(FIXTURES / "encode" / "images" / name))
    for ordinal, ((left, top, width, height), size) in enumerate(zip(boxes, SIZES)):
        cut = picture.crop((left, top, left + width, top + height))
        pixels = np.array(cut.resize((size, size), Image.Resampling.BICUBIC))
        tensors[f"{name}.{ordinal}.box"] = torch.tensor([left, top, width, height])
        tensors[f"{name}.{ordinal}.pixels"] = torch.from_numpy(pixels)
save_file(tensors, FIXTURES / "images" / "augment.safetensors")
