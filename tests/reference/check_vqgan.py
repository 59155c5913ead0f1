"""The VQ-GAN f16 at its published sizes, against PyTorch in float64. Not part of the test suite.

    python tests/reference/check_vqgan.py build/test_vqgan FOLDER [PIXELS]

Makes random weights and two pictures of 224 pixels (or PIXELS) for each codebook in FOLDER (310 MB, removed afterwards), and has
test_vqgan compare latents, codes and decoded pictures with its usual tolerances.
"""
import os
import pathlib
import shutil
import subprocess
import sys

import torch

import make_vqgan

if __name__ == "__main__":
    torch.set_num_threads(2)
    binary, folder = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    side = int(sys.argv[3]) if len(sys.argv) > 3 else 224
    for codes in (16384, 1024):
        here = folder / f"f16-{codes}"
        make_vqgan.make(here, {**make_vqgan.PUBLISHED, "codes": codes}, side, torch.float32)
        environment = {**os.environ, "GH_TEST_VQGAN": str(here)}
        subprocess.run([binary], env=environment, check=True)
        shutil.rmtree(here)
