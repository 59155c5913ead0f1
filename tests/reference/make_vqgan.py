"""Makes tests/fixtures/vqgan: a small VQ-GAN in taming-transformers' layout, and what it computes from two pictures.

The weights are random. The codebook's rows are rows of latents with noise, so that many different ones are nearest.
"""
import torch
from safetensors.torch import save_file

import common
from common import FIXTURES, generator
from vqgan import VQGAN

SMALL = dict(ch=32, multipliers=(1, 1, 2), blocks=2, z=16, width=24, codes=128)
PUBLISHED = dict(ch=128, multipliers=(1, 1, 2, 2, 4), blocks=2, z=256, width=256)


def fill_codebook(model, images, seed):
    """Rows around the latents' mean with their spread in every direction."""
    g, table = generator(seed), model.quantize.embedding.weight
    rows = model.latents(images).flatten(2).transpose(1, 2).flatten(0, 1)
    chosen = rows[torch.randint(0, len(rows), (len(table),), generator=g)]
    table.copy_(chosen + 0.5 * rows.std(0) * torch.randn(table.shape, generator=g))


def compute(model, images, dtype, codes=None):
    model = model.to(dtype)
    latents = model.latents(images.to(dtype))
    distances = model.distances(latents)
    two = distances.topk(2, largest=False)
    codes = two.indices[..., 0] if codes is None else codes
    return {"latents": latents, "codes": codes, "gap": two.values[..., 1] - two.values[..., 0],
            "distance": two.values[..., 0], "decoded": model.decode(codes)}


@torch.no_grad()
def make(folder, sizes, side, storage):
    folder.mkdir(parents=True, exist_ok=True)
    model = common.randomise(VQGAN(**sizes), 61)
    images = 2 * common.pictures(2, side, 62) - 1
    fill_codebook(model, images, 63)
    weights = {k: v.to(storage).contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    model.load_state_dict(weights)
    exact = compute(model, images, torch.float64)
    rough = compute(model, images, torch.float32, exact["codes"])
    file = {k: v.to(torch.int32) if k == "codes" else v.float().contiguous() for k, v in exact.items()}
    file["images"] = images
    for k in ("latents", "decoded"):
        difference = rough[k].double() - exact[k]
        file[f"error.{k}"] = (difference.norm() / exact[k].norm()).float().reshape(1)
    save_file(file, folder / "expected.safetensors")
    print(f"{folder.name}: {len(weights)} tensors, {sum(v.numel() for v in weights.values())} parameters; "
          f"{len(exact['codes'].unique())} different codes in {exact['codes'].numel()} positions, least gap "
          f"{(exact['gap'] / exact['distance']).min():.1e} of the distance; float32 errors "
          f"{file['error.latents'].item():.1e} {file['error.decoded'].item():.1e}")


if __name__ == "__main__":
    make(FIXTURES / "vqgan", SMALL, 32, torch.bfloat16)
