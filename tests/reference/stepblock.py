"""The step and control blocks of cl/step.h as uint32 tensors."""
import struct

import torch

WORDS = 16


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def block(words):
    return torch.tensor([words.get(i, 0) for i in range(WORDS)], dtype=torch.int64).to(torch.uint32)


def step_block(rate=0.0, bias1=0.0, bias2=0.0, ordinal=0, samples=0, weight=0.0):
    return block({0: bits(rate), 1: bits(bias1), 2: bits(bias2), 3: ordinal & 0xFFFFFFFF, 4: ordinal >> 32, 5: samples,
                  6: bits(weight)})


def control_block(clip=1.0, bad=0):
    return block({2: bits(clip), 3: bad})
