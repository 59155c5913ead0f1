"""Makes tests/fixtures/reconstruct: images sampled from a condition alone.

Twenty Euler steps over FLUX's time-shifted schedule with the denoiser of tests/fixtures/probe/tiny and its guidance of 4,
from given noise and a given condition, then the autoencoder's decoder; in both time conventions. In FLUX's
("noise_at_one") the prediction is dx/dt with t falling from 1 to 0 along the schedule; in the paper's ("data_at_one") the
time is 1 minus the schedule's level and the prediction has the opposite sign.
"""
import torch
from safetensors.torch import save_file

import common
import models
from common import FIXTURES, generator
from make_probe import TINY, run_config

STEPS, BATCH, TOKENS = 20, 2, 16


def sample(convention, inputs, dtype):
    step = common.Step(run_config(TINY, convention=convention), FIXTURES / "probe" / "tiny").to(dtype)
    x, condition = inputs["noise"].to(dtype), inputs["condition"].to(dtype)
    vec, txt = step.objective.project_clip(condition), step.objective.project_t5(condition)[:, None]
    levels = models.schedule(STEPS, TOKENS).to(dtype)
    for now, following in zip(levels, levels[1:]):
        paper = convention == "data_at_one"
        t = torch.full((BATCH,), 1 - now if paper else now, dtype=dtype)
        prediction = step.objective.denoiser(x, t, vec, txt)
        x = x + (following - now) * (-prediction if paper else prediction)
    return {"schedule": levels, "latents": x, "image": step.objective.autoencoder.decode(models.unpack(x))}


if __name__ == "__main__":
    folder = FIXTURES / "reconstruct"
    folder.mkdir(parents=True, exist_ok=True)
    g = generator(400)
    width = TINY["projection"]
    inputs = {"noise": torch.randn(BATCH, TOKENS, 64, generator=g), "condition": 2 * torch.randn(BATCH, width, generator=g)}
    save_file(inputs, folder / "inputs.safetensors")
    with torch.no_grad():
        for convention in ("noise_at_one", "data_at_one"):
            exact, rough = (sample(convention, inputs, dtype) for dtype in (torch.float64, torch.float32))
            file = {k: v.float().contiguous() for k, v in exact.items()}
            file.update({"error." + k: (rough[k].double() - v).abs().max().float().reshape(1) for k, v in exact.items()})
            save_file(file, folder / f"{convention}.expected.safetensors")
            for k in exact:
                print(f"{convention:13} {k:9} {tuple(exact[k].shape)} spread {exact[k].std():.3f} float32 error {file['error.' + k].item():.1e}")
