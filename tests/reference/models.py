"""The models of one training step, written plainly in PyTorch with the tensor names of the published checkpoints.

This is the reference for the C engine. check_models.py verifies it: it asserts that the denoiser equals diffusers'
FluxTransformer2DModel, the autoencoder diffusers' AutoencoderKL, LoRA the peft package and the sampling schedule
diffusers' scheduler. The vision encoder is transformers' own.

Sizes: B samples, N image tokens, L context tokens, D width of the encoder's embedding, S image side.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

SHIFT, SCALE = 0.1159, 0.3611  # FLUX's latents: (z - shift) * scale


# --- the lightweight FLUX denoiser ----------------------------------------------------------------------------------
def sincos(t, width=256, period=10000.0):
    """(B,) -> (B, width): cosines then sines of 1000 t * period^(-i / (width/2)), in t's precision.

    In any precision of t, the angle is rounded to float32 where the official modules round it (FLUX's own code and
    diffusers' both have `.float()` there): an angle of 1000 keeps 4 decimal places, which affects gradients.
    """
    half = width // 2
    exponents = -math.log(period) * torch.arange(half, dtype=torch.float32) / half
    freqs = exponents.double().exp().to(torch.float32)  # torch's float32 exp is off by the last bit for some
    args = ((1000.0 * t.to(torch.float32))[:, None] * freqs).to(t.dtype)
    return torch.cat([args.cos(), args.sin()], -1)


def rope_table(ids, axes, theta=10000.0):
    """ids (T, 3), axes the three even widths -> angles (T, head/2), one per adjacent pair, always float64."""
    parts = []
    for i, width in enumerate(axes):
        omega = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
        parts.append(ids[:, i : i + 1].double() * omega[None])
    return torch.cat(parts, -1)


def rope(x, angles):
    """x (B, H, T, head): rotates each adjacent pair of channels."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def token_ids(context, side):
    """Position ids: (0,0,0) for context tokens, then (0, row, col) for side x side image tokens."""
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.stack([torch.zeros_like(rows), rows, cols], -1).reshape(-1, 3)
    return torch.cat([torch.zeros(context, 3, dtype=image.dtype), image])


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale


class QKNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query_norm, self.key_norm = RMSNorm(width), RMSNorm(width)


class Embedder(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.in_layer, self.out_layer = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        return self.out_layer(F.silu(self.in_layer(x)))


class Modulation(nn.Module):
    """SiLU then Linear: shift, scale, gate, `sets` times, each (B, 1, hidden)."""

    def __init__(self, hidden, sets):
        super().__init__()
        self.sets, self.lin = sets, nn.Linear(hidden, 3 * sets * hidden)

    def forward(self, vec):
        return self.lin(F.silu(vec))[:, None].chunk(3 * self.sets, -1)


def plain_norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def attention(q, k, v, angles):
    """q, k, v (B, H, T, head) -> (B, T, H*head), with RoPE, softmax(q k / sqrt(head)) v."""
    q, k = rope(q, angles), rope(k, angles)
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def split_heads(qkv, heads):
    """(B, T, 3*H*head), in the order q, k, v and then heads -> three (B, H, T, head)."""
    b, t, width = qkv.shape
    return qkv.reshape(b, t, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)


class StreamAttention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.norm = heads, QKNorm(hidden // heads)
        self.qkv, self.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def split(self, x):
        q, k, v = split_heads(self.qkv(x), self.heads)
        return self.norm.query_norm(q), self.norm.key_norm(k), v


class DoubleBlock(nn.Module):
    def __init__(self, hidden, heads, mlp):
        super().__init__()
        for stream in ("img", "txt"):
            setattr(self, stream + "_mod", Modulation(hidden, 2))
            setattr(self, stream + "_attn", StreamAttention(hidden, heads))
            layers = nn.Linear(hidden, mlp), nn.GELU(approximate="tanh"), nn.Linear(mlp, hidden)
            setattr(self, stream + "_mlp", nn.Sequential(*layers))

    def forward(self, img, txt, vec, angles):
        img_mod, txt_mod = self.img_mod(vec), self.txt_mod(vec)
        img_qkv = self.img_attn.split((1 + img_mod[1]) * plain_norm(img) + img_mod[0])
        txt_qkv = self.txt_attn.split((1 + txt_mod[1]) * plain_norm(txt) + txt_mod[0])
        out = attention(*(torch.cat(pair, 2) for pair in zip(txt_qkv, img_qkv)), angles)
        txt_out, img_out = out[:, : txt.shape[1]], out[:, txt.shape[1] :]
        img = img + img_mod[2] * self.img_attn.proj(img_out)
        img = img + img_mod[5] * self.img_mlp((1 + img_mod[4]) * plain_norm(img) + img_mod[3])
        txt = txt + txt_mod[2] * self.txt_attn.proj(txt_out)
        txt = txt + txt_mod[5] * self.txt_mlp((1 + txt_mod[4]) * plain_norm(txt) + txt_mod[3])
        return img, txt


class SingleBlock(nn.Module):
    def __init__(self, hidden, heads, mlp):
        super().__init__()
        self.hidden, self.heads = hidden, heads
        self.linear1, self.linear2 = nn.Linear(hidden, 3 * hidden + mlp), nn.Linear(hidden + mlp, hidden)
        self.norm, self.modulation = QKNorm(hidden // heads), Modulation(hidden, 1)

    def forward(self, x, vec, angles):
        shift, scale, gate = self.modulation(vec)
        both = self.linear1((1 + scale) * plain_norm(x) + shift)
        q, k, v = split_heads(both[..., : 3 * self.hidden], self.heads)
        out = attention(self.norm.query_norm(q), self.norm.key_norm(k), v, angles)
        mlp = F.gelu(both[..., 3 * self.hidden :], approximate="tanh")
        return x + gate * self.linear2(torch.cat([out, mlp], -1))


class FinalLayer(nn.Module):
    def __init__(self, hidden, outputs):
        super().__init__()
        self.linear = nn.Linear(hidden, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, x, vec):
        shift, scale = self.adaLN_modulation(vec)[:, None].chunk(2, -1)
        return self.linear((1 + scale) * plain_norm(x) + shift)


class Denoiser(nn.Module):
    def __init__(self, c):
        """c: the `denoiser` object of a run's configuration."""
        super().__init__()
        hidden, heads, mlp = c["hidden"], c["heads"], int(c["hidden"] * c["mlp_ratio"])
        self.axes, self.guidance = c["rope_axes"], c["guidance"]
        self.img_in, self.txt_in = nn.Linear(64, hidden), nn.Linear(c["context_width"], hidden)
        self.time_in, self.guidance_in = Embedder(256, hidden), Embedder(256, hidden)
        self.vector_in = Embedder(c["vector_width"], hidden)
        self.double_blocks = nn.ModuleList(DoubleBlock(hidden, heads, mlp) for _ in range(c["double_blocks"]))
        self.single_blocks = nn.ModuleList(SingleBlock(hidden, heads, mlp) for _ in range(c["single_blocks"]))
        self.final_layer = FinalLayer(hidden, 64)

    def forward(self, x, t, vec, txt):
        """x (B, N, 64), t (B,), vec (B, vector_width), txt (B, L, context_width) -> (B, N, 64)."""
        angles = rope_table(token_ids(txt.shape[1], math.isqrt(x.shape[1])), self.axes)
        guidance = torch.full_like(t, self.guidance)
        vec = self.time_in(sincos(t)) + self.guidance_in(sincos(guidance)) + self.vector_in(vec)
        img, txt = self.img_in(x), self.txt_in(txt)
        for block in self.double_blocks:
            img, txt = block(img, txt, vec, angles)
        joint = torch.cat([txt, img], 1)
        for block in self.single_blocks:
            joint = block(joint, vec, angles)
        return self.final_layer(joint[:, txt.shape[1] :], vec)


def projector(inputs, outputs):
    """project_clip and project_t5: tensors 0.*, 1.*, 3.*."""
    return nn.Sequential(
        nn.LayerNorm(inputs, eps=1e-5), nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs)
    )


# --- the FLUX autoencoder -------------------------------------------------------------------------------------------
def group_norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = group_norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = group_norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = group_norm(channels)
        for name in ("q", "k", "v", "proj_out"):
            setattr(self, name, nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))  # (B, C, T)
        weights = (q.transpose(1, 2) @ k / math.sqrt(x.shape[1])).softmax(-1)
        return x + self.proj_out((v @ weights.transpose(1, 2)).reshape(x.shape))


def middle(channels):
    mid = nn.Module()
    mid.block_1, mid.attn_1, mid.block_2 = ResBlock(channels, channels), AttnBlock(channels), ResBlock(channels, channels)
    return mid


class Resample(nn.Module):
    """`downsample` or `upsample` of a level: holds the one convolution under its published name."""

    def __init__(self, channels, down):
        super().__init__()
        self.down, self.conv = down, nn.Conv2d(channels, channels, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0, mode="nearest"))


def level(channels, resample, down):
    """channels: the widths through the level's residual blocks; resample: whether another level follows."""
    one = nn.Module()
    one.block = nn.ModuleList(ResBlock(a, b) for a, b in zip(channels, channels[1:]))
    if resample:
        setattr(one, "downsample" if down else "upsample", Resample(channels[-1], down))
    return one


class AEEncoder(nn.Module):
    def __init__(self, ch, multipliers, z=16):
        super().__init__()
        widths = [ch] + [ch * m for m in multipliers]
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        last = len(multipliers) - 1
        self.down = nn.ModuleList(level([widths[i]] + 2 * [widths[i + 1]], i < last, True) for i in range(last + 1))
        self.mid, self.norm_out = middle(widths[-1]), group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * z, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for one in self.down:
            for block in one.block:
                x = block(x)
            x = one.downsample(x) if hasattr(one, "downsample") else x
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        return self.conv_out(F.silu(self.norm_out(x)))


class AEDecoder(nn.Module):
    def __init__(self, ch, multipliers, z=16):
        super().__init__()
        widths = [ch * m for m in multipliers]
        inputs = widths[1:] + [widths[-1]]  # the input width of level i: that of the level below
        self.conv_in, self.mid = nn.Conv2d(z, widths[-1], 3, padding=1), middle(widths[-1])
        self.up = nn.ModuleList(level([inputs[i]] + 3 * [widths[i]], i > 0, False) for i in range(len(widths)))
        self.norm_out, self.conv_out = group_norm(widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z):
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(self.conv_in(z))))
        for one in reversed(self.up):
            for block in one.block:
                x = block(x)
            x = one.upsample(x) if hasattr(one, "upsample") else x
        return self.conv_out(F.silu(self.norm_out(x)))


class Autoencoder(nn.Module):
    def __init__(self, ch, multipliers):
        super().__init__()
        self.encoder, self.decoder = AEEncoder(ch, multipliers), AEDecoder(ch, multipliers)

    def encode(self, images, noise):
        """images (B, 3, S, S) in [0, 1], noise (B, 16, S/8, S/8) -> latents (B, 16, S/8, S/8), shifted and scaled."""
        mean, logvar = self.encoder(2 * images - 1).chunk(2, 1)
        return (mean + torch.exp(0.5 * logvar) * noise - SHIFT) * SCALE

    def decode(self, latents):
        """The inverse: latents (B, 16, S/8, S/8) -> images (B, 3, S, S), in about [-1, 1], not clamped."""
        return self.decoder(latents / SCALE + SHIFT)


def pack(z):
    """(B, 16, 2h, 2w) -> (B, h*w, 64), channel order (c, ph, pw)."""
    b, c, h, w = z.shape
    return z.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def unpack(x):
    """The inverse of pack for a square image."""
    b, n, width = x.shape
    side = math.isqrt(n)
    return x.reshape(b, side, side, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, width // 4, 2 * side, 2 * side)


# --- LoRA -----------------------------------------------------------------------------------------------------------
class LoRALinear(nn.Module):
    """W x + b + (alpha/r) B A (mask * x / (1 - p)). The base weight is frozen, its bias trained ("lora_only").

    mask, if set: a 0 or 1 per element of x. Without it there is no dropout.
    """

    def __init__(self, base, rank, alpha, dropout):
        super().__init__()
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.bias = None if base.bias is None else nn.Parameter(base.bias.detach().clone())
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        self.scale, self.dropout, self.mask = alpha / rank, dropout, None

    def forward(self, x):
        kept = x if self.mask is None else x * self.mask.reshape(x.shape).to(x.dtype) / (1 - self.dropout)
        return F.linear(x, self.weight, self.bias) + self.scale * self.lora_B(self.lora_A(kept))


def add_lora(encoder, rank, alpha, dropout):
    """Freezes the encoder and wraps every linear layer of it in place, the visual projection included.

    nn.MultiheadAttention reads its output projection's weight directly, bypassing any wrapper: only the bias trains there.
    """
    encoder.requires_grad_(False)
    past = {name + ".out_proj" for name, module in encoder.named_modules() if isinstance(module, nn.MultiheadAttention)}
    for name, module in list(encoder.named_modules()):
        if name in past:
            module.bias.requires_grad_(True)
        elif isinstance(module, nn.Linear):
            parent, _, leaf = name.rpartition(".")
            setattr(encoder.get_submodule(parent), leaf, LoRALinear(module, rank, alpha, dropout))
    return encoder


# --- sampling -------------------------------------------------------------------------------------------------------
def schedule(steps, tokens):
    """FLUX's time-shifted schedule: steps + 1 noise levels from 1 to 0."""
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return torch.where(t > 0, math.exp(mu) / (math.exp(mu) + (1 / t.clamp(min=1e-300) - 1)), 0.0)
