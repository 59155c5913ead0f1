"""Makes tests/fixtures/golden: short training runs, update by update, from given inputs.

Ten updates of stage 1, then stage 2 on stage 1's denoiser with a fresh optimiser and the given adapter: torch.optim.AdamW
on every trained tensor, torch.nn.utils.clip_grad_norm_, constant learning rate, LoRA's dropout off. The model is
tests/fixtures/probe/tiny's. Three runs:

  only        batches of 2, the denoiser frozen in stage 2
  all         the same stage 1, the denoiser trained in stage 2
  accumulate  batches of 4 in micro-batches of 2 (five updates per stage), a clip norm that some gradients exceed
  masked      the discrete denoiser of tests/fixtures/probe/masked on the same encoder, trained in both stages
"""

import sys

import torch
from safetensors.torch import save_file

import common
from common import FIXTURES, generator
from make_probe import MASKED, TINY, mask_of, run_config

MICRO = 10  # micro-batches of two samples in the inputs, per stage


def golden_config(setting, batch, clip_norm, train_denoiser):
    config = run_config(setting)
    tiny, own = "../probe/tiny/", "../probe/masked/" if setting is MASKED else "../probe/tiny/"
    config.update(clip=tiny + "clip", autoencoder=own + setting["autoencoder"])
    config["denoiser"]["weights"] = own + "denoiser.safetensors"
    for stage, lr in ((1, 0.002), (2, 0.004)):
        one = config[f"stage{stage}"]
        one.update(steps=2 * MICRO // batch, batch=batch, micro_batch=2)
        one["optimizer"] = dict(lr=lr, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01, clip_norm=clip_norm, warmup=0)
    config["stage2"]["lora"] = dict(TINY["lora"], dropout=0.0, adapter=tiny + "adapter")
    config["stage2"]["train_denoiser"] = train_denoiser
    return config


def make_inputs():
    """images (10, 2, 3, 64, 64) are used in both stages; noise, latent_noise and t are separate per stage."""
    g = generator(300)
    inputs = {"images": common.pictures(2 * MICRO, 64, 301).reshape(MICRO, 2, 3, 64, 64)}
    for stage in (1, 2):
        inputs[f"stage{stage}.latent_noise"] = torch.randn(MICRO, 2, 16, 8, 8, generator=g)
        inputs[f"stage{stage}.noise"] = torch.randn(MICRO, 2, 16, 64, generator=g)
        inputs[f"stage{stage}.t"] = torch.sigmoid(torch.randn(MICRO, 2, generator=g))
        masks = [mask_of([8 + i % 7, 14 - i % 5], 16, 310 + 20 * stage + i) for i in range(MICRO)]
        inputs[f"stage{stage}.mask"] = torch.stack(masks).float()
    return inputs


def run_stage(step, stage, inputs, dtype, result):
    trained = step.trained(stage)
    step.to(dtype)
    settings = step.config[f"stage{stage}"]
    o = settings["optimizer"]
    optimizer = torch.optim.AdamW(trained.values(), lr=o["lr"], betas=o["betas"], eps=o["eps"], weight_decay=o["weight_decay"])
    start = {k: p.detach().clone() for k, p in trained.items()}
    losses, norms = [], []
    parts = settings["batch"] // settings["micro_batch"]
    for update in range(settings["steps"]):
        optimizer.zero_grad()
        total = 0
        for micro in range(update * parts, (update + 1) * parts):
            given = {k: inputs[f"stage{stage}.{k}"][micro] for k in ("latent_noise", "noise", "t", "mask")}
            loss = step({"images": inputs["images"][micro], **given})["loss"].sum() / parts
            loss.backward()
            total += loss.detach()
        losses.append(total)
        norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), o["clip_norm"]).detach())
        optimizer.step()
    result[f"stage{stage}.loss"], result[f"stage{stage}.grad_norm"] = torch.stack(losses), torch.stack(norms)
    for name, p in trained.items():
        if not name.endswith(("k_proj.bias", "cross_attn.k.bias", "self_attn.qkv.bias")):  # its gradient is only rounding noise, which AdamW turns into whole steps
            result[f"stage{stage}.moved.{name}"] = (p.detach() - start[name]).norm().reshape(1)
            if p.numel() <= 256 or p.numel() < 600 and "lora" in name:
                result[f"stage{stage}.final.{name}"] = p.detach().clone()


def run(config, inputs, dtype):
    result = {}
    step = common.Step(config, FIXTURES / "golden").to(dtype)
    for stage in (1, 2):
        run_stage(step, stage, inputs, dtype, result)
    return result


if __name__ == "__main__":
    folder = FIXTURES / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = make_inputs()
    save_file(inputs, folder / "inputs.safetensors")
    runs = {"only": (TINY, 2, 1.0, False), "all": (TINY, 2, 1.0, True),
            "accumulate": (TINY, 4, 5.0, False), "masked": (MASKED, 2, 1.0, True)}
    for name in sys.argv[1:] or runs:
        settings = runs[name]
        config = golden_config(*settings)
        common.write_json(folder / f"{name}.json", config)
        exact, rough = (run(config, inputs, dtype) for dtype in (torch.float64, torch.float32))
        file = {k: v.float().contiguous() for k, v in exact.items()}
        for k, v in exact.items():  # one per step for the two series, one per tensor for the rest
            difference = (rough[k].double() - v).abs()
            file["error." + k] = (difference if k.endswith((".loss", ".grad_norm")) else difference.max().reshape(1)).float()
        save_file(file, folder / f"{name}.expected.safetensors")
        for k in ("stage1.loss", "stage1.grad_norm", "stage2.loss", "stage2.grad_norm"):
            print(f"{name:10} {k:16}", " ".join(f"{v:7.4f}" for v in exact[k].tolist()), f" float32 {file['error.' + k].max():.1e}")
        for stage in (1, 2):
            rel = sorted((file["error." + k].item() / v.norm().item(), k) for k, v in exact.items() if k.startswith(f"stage{stage}.moved"))
            print(f"{name:10} stage{stage}: moved, worst relative float32 error {rel[-1][0]:.1e} ({rel[-1][1]}), median {rel[len(rel)//2][0]:.1e}")
