"""The VQ-GAN in PyTorch, with taming-transformers' names. Its blocks are those of FLUX's autoencoder (models.py), which
check_models.py compares with diffusers."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from models import AttnBlock, ResBlock, Resample, group_norm, middle


def level(channels, attention, resample, down):
    """channels: the widths through the level's residual blocks; attention: one after each of them."""
    one = nn.Module()
    one.block = nn.ModuleList(ResBlock(a, b) for a, b in zip(channels, channels[1:]))
    one.attn = nn.ModuleList(AttnBlock(b) for b in channels[1:] if attention)
    if resample:
        setattr(one, "downsample" if down else "upsample", Resample(channels[-1], down))
    return one


def through(one, x):
    for i, block in enumerate(one.block):
        x = block(x)
        x = one.attn[i](x) if len(one.attn) else x
    for resample in ("downsample", "upsample"):
        x = getattr(one, resample)(x) if hasattr(one, resample) else x
    return x


def through_middle(mid, x):
    return mid.block_2(mid.attn_1(mid.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, ch, multipliers, blocks, z):
        super().__init__()
        widths, last = [ch] + [ch * m for m in multipliers], len(multipliers) - 1
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down = nn.ModuleList(
            level([widths[i]] + blocks * [widths[i + 1]], i == last, i < last, True) for i in range(last + 1))
        self.mid, self.norm_out = middle(widths[-1]), group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], z, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for one in self.down:
            x = through(one, x)
        return self.conv_out(F.silu(self.norm_out(through_middle(self.mid, x))))


class Decoder(nn.Module):
    def __init__(self, ch, multipliers, blocks, z):
        super().__init__()
        widths, last = [ch * m for m in multipliers], len(multipliers) - 1
        inputs = widths[1:] + [widths[-1]]  # the input width of level i: that of the level below
        self.conv_in, self.mid = nn.Conv2d(z, widths[-1], 3, padding=1), middle(widths[-1])
        self.up = nn.ModuleList(
            level([inputs[i]] + (blocks + 1) * [widths[i]], i == last, i > 0, False) for i in range(last + 1))
        self.norm_out, self.conv_out = group_norm(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z):
        x = through_middle(self.mid, self.conv_in(z))
        for one in reversed(self.up):
            x = through(one, x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VQGAN(nn.Module):
    def __init__(self, ch, multipliers, blocks, z, width, codes):
        super().__init__()
        self.encoder, self.decoder = Encoder(ch, multipliers, blocks, z), Decoder(ch, multipliers, blocks, z)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(codes, width)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(z, width, 1), nn.Conv2d(width, z, 1)

    def latents(self, images):
        """images (B, 3, S, S) in [-1, 1] -> (B, width, h, w), before quantisation."""
        return self.quant_conv(self.encoder(images))

    def distances(self, latents):
        """(B, width, h, w) -> (B, h * w, K): squared, from the difference itself."""
        x, table = latents.flatten(2).transpose(1, 2), self.quantize.embedding.weight
        return torch.stack([torch.stack([(table - row).square().sum(1) for row in sample]) for sample in x])

    def decode(self, codes):
        """codes (B, N) -> (B, 3, S, S), not clamped."""
        side = math.isqrt(codes.shape[1])
        rows = self.quantize.embedding(codes).transpose(1, 2)
        return self.decoder(self.post_quant_conv(rows.unflatten(2, (side, side))))
