"""The discrete denoiser written plainly in PyTorch, with the tensor names of denoiser files.

Sizes: B samples, N codes per picture, K rows of the codebook, H width of the denoiser, T tokens of the condition.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


def attention(q, k, v, heads, excluded=None):
    """q (B, Nq, H), k and v (B, Nk, H) -> (B, Nq, H). excluded (B, Nk): keys that no query sees."""
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = split(q) @ split(k).transpose(-1, -2) / math.sqrt(q.shape[-1] // heads)
    if excluded is not None:
        scores = scores.masked_fill(excluded[:, None, None], -math.inf)
    return (scores.softmax(-1) @ split(v)).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    """Keys and values are the visible positions and the condition."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm_q, self.norm_kv = nn.LayerNorm(hidden, eps=1e-5), nn.LayerNorm(hidden, eps=1e-5)
        self.q, self.k, self.v, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x, mask, condition):
        kv = self.norm_kv(torch.cat([x, condition], 1))
        excluded = torch.cat([mask, mask.new_zeros(condition.shape[:2])], 1)
        return self.out(attention(self.q(self.norm_q(x)), self.k(kv), self.v(kv), self.heads, excluded))


class SelfAttention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(hidden, eps=1e-5)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        return self.out(attention(*self.qkv(self.norm(x)).chunk(3, -1), self.heads))


class MLP(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(hidden, eps=1e-5)
        self.fc1, self.fc2 = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Layer(nn.Module):
    def __init__(self, hidden, heads, cross):
        super().__init__()
        self.cross_attn = CrossAttention(hidden, heads) if cross else None
        self.self_attn, self.mlp = SelfAttention(hidden, heads), MLP(hidden)

    def forward(self, x, mask, condition):
        if self.cross_attn is not None:
            x = x + self.cross_attn(x, mask, condition)
        x = x + self.self_attn(x)
        return x + self.mlp(x)


class Perceiver(nn.Module):
    def __init__(self, c, vector, positions, codes):
        """c: the `denoiser` object of a run's configuration; vector: width of a codebook row."""
        super().__init__()
        hidden, heads = c["hidden"], c["heads"]
        once = c.get("cross_attention", "every_layer") == "once"
        self.token_in = nn.Linear(vector, hidden)
        self.mask_embedding = nn.Parameter(0.02 * torch.randn(hidden))
        self.position_embedding = nn.Parameter(0.02 * torch.randn(positions, hidden))
        self.cross_attn = CrossAttention(hidden, heads) if once else None
        self.layers = nn.ModuleList(Layer(hidden, heads, not once) for _ in range(c["layers"]))
        self.norm, self.head = nn.LayerNorm(hidden, eps=1e-5), nn.Linear(hidden, codes)

    def states(self, vectors, mask, condition):
        """vectors (B, N, vector), mask (B, N) bool, condition (B, T, H) -> (B, N, H), before the last norm."""
        x = torch.where(mask[..., None], self.mask_embedding, self.token_in(vectors)) + self.position_embedding
        if self.cross_attn is not None:  # only visible positions ask
            x = x + torch.where(mask[..., None], 0, self.cross_attn(x, mask, condition))
        for layer in self.layers:
            x = layer(x, mask, condition)
        return x

    def forward(self, vectors, mask, condition):
        """The same -> logits (B, N, K)."""
        return self.head(self.norm(self.states(vectors, mask, condition)))


def masked_loss(logits, codes, mask):
    """-log softmax(logits)[code], the mean over a sample's masked positions and then over samples."""
    each = F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")
    return ((each * mask).sum(1) / mask.sum(1)).mean()
