"""Makes tests/fixtures/vqgan/step.safetensors: one step of pre-training the VQ-GAN of that folder, in float64.

The pictures are those of expected.safetensors, whose codes no rounding changes; run it after make_vqgan.py. Of each
parameter's gradient it keeps the norm and evenly spaced elements.
"""
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from common import FIXTURES
from make_vqgan import SMALL
from vqgan import VQGAN

KEPT = 96  # elements of a gradient, at most
COMMITMENT = 0.25


def step(weights, images, dtype):
    """The loss, the reconstruction error, how often each code is chosen, and the gradients."""
    model = VQGAN(**SMALL)
    model.load_state_dict(weights)
    model, x = model.to(dtype), images.to(dtype)
    latents = model.latents(x)
    codes = model.distances(latents.detach()).argmin(-1)
    z, e = latents.flatten(2).transpose(1, 2), model.quantize.embedding(codes)
    straight = z + (e - z).detach()
    picture = model.decoder(model.post_quant_conv(straight.transpose(1, 2).unflatten(2, latents.shape[2:])))
    reconstruction = F.mse_loss(picture, x)
    loss = reconstruction + F.mse_loss(e, z.detach()) + COMMITMENT * F.mse_loss(z, e.detach())
    loss.backward()
    usage = torch.bincount(codes.flatten(), minlength=SMALL["codes"])
    return loss.detach(), reconstruction.detach(), usage, {k: v.grad for k, v in model.named_parameters()}


def main():
    folder = FIXTURES / "vqgan"
    weights, images = load_file(folder / "weights.safetensors"), load_file(folder / "expected.safetensors")["images"]
    loss, reconstruction, usage, gradients = step(weights, images, torch.float64)
    rough = step(weights, images, torch.float32)[3]
    file = {"loss": loss.reshape(1), "reconstruction": reconstruction.reshape(1), "usage": usage}
    for name, gradient in gradients.items():
        flat = gradient.flatten()
        file[f"norm.{name}"] = flat.norm().reshape(1)
        file[f"gradient.{name}"] = flat[::-(-len(flat) // KEPT)]
    file = {k: v.float().contiguous() for k, v in file.items()}
    save_file(file, folder / "step.safetensors")
    norms = {k: v.norm().item() for k, v in gradients.items()}
    real = [k for k in norms if norms[k] > 1e-12]  # biases that a group norm or a softmax removes have no gradient
    worst = max((rough[k].double() - gradients[k]).norm().item() / norms[k] for k in real)
    print(f"loss {loss.item():.4f}, reconstruction {reconstruction.item():.4f}, {(usage > 0).sum()} codes used, "
          f"{len(real)} gradients and {len(norms) - len(real)} that are 0, norms {min(norms[k] for k in real):.1e} to "
          f"{max(norms.values()):.1e}; the largest float32 error {worst:.1e}")


if __name__ == "__main__":
    main()
