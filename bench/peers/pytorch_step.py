"""The training step of `genhance bench step` in PyTorch, with the same models, sizes, random weights and JSON keys.

The vision encoder is transformers'. Denoiser, projectors, autoencoder and LoRA are those of tests/reference/models.py,
which equal diffusers' and peft's (checked by check_models.py), with the attention of FLUX's own code,
scaled_dot_product_attention. With --denoiser discrete: VQ-GAN and denoiser of tests/reference, the head on masked positions
alone. AdamW, gradient-norm clipping, dropout 0.1 before the adapters. Stage 2 freezes the denoiser,
stage 1 the encoder. Float32 is float32 on GPUs too, unless --tf32 is given; bfloat16 is autocast over float32 weights.

As installed:     pytorch_step.py --arch openai-vit-l-14-224 --stage 2 --batch 4 --json out.json
Best configured:  the same with --best. The autoencoder is channels_last; with bfloat16, frozen weights are stored in it.
                  On a CPU, a preloaded library enables MKL's fast path on processors that are not Intel's (needs a C
                  compiler). On a GPU, AdamW is fused and the whole step is one CUDA graph.
--compile adds torch.compile to either; it takes minutes before the first step.
"""
import argparse
import json
import math
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rows  # noqa: E402
from sizes import FULL, TINY, VISION, default_layers, shape_text  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=VISION, required=True)
    parser.add_argument("--stage", type=int, choices=(1, 2), default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--denoiser", choices=("continuous", "discrete"), default="continuous")
    parser.add_argument("--layers", type=int, help="of the discrete denoiser (default: 6; of tiny 2)")
    parser.add_argument("--double-blocks", type=int, default=2)
    parser.add_argument("--single-blocks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tf32", action="store_true", help="on a GPU, compute float32 products in TF32")
    parser.add_argument("--compile", action="store_true", help="compile encoder, autoencoder and denoiser with torch.compile")
    parser.add_argument("--threads", type=int, default=0, help="number of threads; 0 is PyTorch's choice")
    parser.add_argument("--best", action="store_true", help="use the best configuration instead of PyTorch as installed")
    parser.add_argument("--json", help="file to write the results to")
    parser.add_argument("--rows", help="file of JSON lines (docs/results.md) to add a row to")
    args = parser.parse_args()
    args.layers = args.layers or default_layers(args.arch)
    return args


def preload_mkl_answer():
    """Restarts this program with the preloaded library; returns in the second process."""
    if os.environ.get("GENHANCE_PEER_PRELOADED"):
        return
    folder = tempfile.mkdtemp()
    source, library = os.path.join(folder, "cpu.c"), os.path.join(folder, "cpu.so")
    pathlib.Path(source).write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    os.environ.update(LD_PRELOAD=library, GENHANCE_PEER_PRELOADED=folder)
    os.execv(sys.executable, [sys.executable, *sys.argv])


ARGS = arguments()
ON_GPU = ARGS.device == "cuda"
if ARGS.best and not ON_GPU:
    preload_mkl_answer()

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "reference"))
import models  # noqa: E402
import perceiver  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import vqgan  # noqa: E402
from torch import nn  # noqa: E402
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection  # noqa: E402


def fused_attention(q, k, v, angles):
    out = F.scaled_dot_product_attention(models.rope(q, angles), models.rope(k, angles), v)
    return out.transpose(1, 2).flatten(2)


def fused_block(self, x):
    h = self.norm(x)
    q, k, v = (f(h).flatten(2).transpose(1, 2)[:, None] for f in (self.q, self.k, self.v))
    out = F.scaled_dot_product_attention(q, k, v)[:, 0]
    return x + self.proj_out(out.transpose(1, 2).reshape(x.shape))


def fused_masked_attention(q, k, v, heads, excluded=None):
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    seen = None if excluded is None else ~excluded[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2)


def adapter_forward(self, x):
    low = F.dropout(x, self.dropout, self.training)
    return F.linear(x, self.weight, self.bias) + self.scale * self.lora_B(self.lora_A(low))


models.attention = fused_attention
models.AttnBlock.forward = fused_block
vqgan.AttnBlock.forward = fused_block
perceiver.attention = fused_masked_attention
models.LoRALinear.forward = adapter_forward


class Autoencoder(nn.Module):
    """Only the encoder half: a step needs no decoder."""

    def __init__(self, channels, multipliers, blocks):
        super().__init__()
        self.encoder = models.AEEncoder(channels, multipliers)
        for one in self.encoder.down:
            one.block = one.block[:blocks] if blocks < len(one.block) else one.block

    forward = models.Autoencoder.encode


class Tokenizer(nn.Module):
    """The encoder half of a VQ-GAN: pictures to codes, by the distances that taming-transformers computes."""

    def __init__(self, *sizes):
        super().__init__()
        whole = vqgan.VQGAN(*sizes)
        self.encoder, self.quant_conv, self.quantize = whole.encoder, whole.quant_conv, whole.quantize

    def forward(self, images):
        z = self.quant_conv(self.encoder(2 * images - 1)).flatten(2).transpose(1, 2)
        rows = z.reshape(-1, z.shape[-1]).float()
        table = self.quantize.embedding.weight.float()
        distances = table.square().sum(1) - 2 * rows @ table.T
        return distances.argmin(1).view(z.shape[:2])


def materialize(module):
    """Fills a module made on the meta device with numbers of the usual size, much faster than the initialisers."""
    module.to_empty(device=ARGS.device)
    for name, p in module.named_parameters():
        with torch.no_grad():
            if p.dim() > 1:
                p.uniform_(-1 / math.sqrt(p[0].numel()), 1 / math.sqrt(p[0].numel()))
            else:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
    for name, b in module.named_buffers():
        if name.endswith("position_ids"):
            b.copy_(torch.arange(b.shape[-1])[None])
    return module


def build(args):
    hidden, layers, heads, mlp, image, patch, width = VISION[args.arch]
    tiny = args.arch == "tiny"
    sizes = dict(TINY if tiny else FULL, mlp_ratio=4.0, guidance=4.0)
    sizes.update(double_blocks=args.double_blocks, single_blocks=args.single_blocks)
    config = CLIPVisionConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                              intermediate_size=mlp, image_size=image, patch_size=patch, projection_dim=width,
                              hidden_act="quick_gelu")
    with torch.device("meta"):
        encoder = CLIPVisionModelWithProjection(config)
        if args.denoiser == "discrete":
            tokenizer = (32, (1, 1, 2, 2, 4), 1, 32, 32, 128) if tiny else (128, (1, 1, 2, 2, 4), 2, 256, 256, 16384)
            hidden, heads = (128, 4) if tiny else (1024, 16)
            layers = dict(layers=args.layers, hidden=hidden, heads=heads)
            denoiser = perceiver.Perceiver(layers, tokenizer[4], (image // 16) ** 2, tokenizer[5])
            heads = [models.projector(width, hidden)]
            autoencoder = Tokenizer(*tokenizer)
        else:
            denoiser = models.Denoiser(sizes)
            heads = [models.projector(width, sizes["vector_width"]), models.projector(width, sizes["context_width"])]
            autoencoder = Autoencoder(32, (1, 2, 2, 2), 1) if tiny else Autoencoder(128, (1, 2, 4, 4), 2)
    encoder, denoiser, autoencoder, *heads = map(materialize, (encoder, denoiser, autoencoder, *heads))
    autoencoder.requires_grad_(False)
    if args.best:
        autoencoder = autoencoder.to(memory_format=torch.channels_last)
    if args.stage == 2:
        models.add_lora(encoder, 16, 16, 0.1)
        for part in (denoiser, *heads):
            part.requires_grad_(False)
    else:
        encoder.requires_grad_(False)
    if args.best and args.precision == "bfloat16":
        for p in (p for m in (encoder, autoencoder, denoiser, *heads) for p in m.parameters() if not p.requires_grad):
            p.data = p.data.bfloat16()
    return encoder.train(), autoencoder.eval(), denoiser, *heads


class Step:
    """One update. If `times` is set, it receives the seconds of each phase."""

    def __init__(self, args):
        self.args, self.side = args, VISION[args.arch][4]
        self.encoder, self.autoencoder, self.denoiser, *self.heads = parts = build(args)
        self.trained = [p for m in parts for p in m.parameters() if p.requires_grad]
        self.frozen = [p for m in parts for p in m.parameters() if not p.requires_grad]
        best_gpu = {"fused": True, "capturable": True} if args.best and ON_GPU else {}
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-5, weight_decay=0.01, **best_gpu)
        self.images = torch.rand(args.batch, 3, self.side, self.side)
        self.host_images = self.images.cpu().pin_memory() if ON_GPU else None
        self.mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        self.std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        self.times = self.graph = None

    def compile(self):
        self.encoder, self.autoencoder, self.denoiser = map(torch.compile, (self.encoder, self.autoencoder, self.denoiser))

    def capture(self):
        """Captures the whole update as one CUDA graph; the image tensor is its only input."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.update()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.captured_loss = self.update()
        self.graph = graph

    def mark(self, name):
        if self.times is not None:
            if ON_GPU:
                torch.cuda.synchronize()
            now = time.perf_counter(), time.process_time()
            self.times[name] = tuple(a - b for a, b in zip(now, self.last))
            self.last = now

    def latents(self, images):
        z = self.autoencoder(images, torch.randn(self.args.batch, 16, self.side // 8, self.side // 8))
        return models.pack(z.contiguous())

    def flow_loss(self, condition, x1):
        t = torch.randn(self.args.batch).sigmoid()
        x0 = torch.randn_like(x1)
        x_t = (1 - t)[:, None, None] * x1 + t[:, None, None] * x0
        clip, t5 = self.heads
        prediction = self.denoiser(x_t, t, clip(condition), t5(condition)[:, None])
        return F.mse_loss(prediction, x0 - x1)

    def masked_loss(self, condition, codes):
        n = codes.shape[1]
        counts = ((0.5 + 0.4 * torch.rand(len(codes))) * n).round().long().clamp(1, n - 1)
        mask = torch.rand(codes.shape).argsort(1).argsort(1) < counts[:, None]
        vectors = F.embedding(codes, self.autoencoder.quantize.embedding.weight)
        hidden = self.denoiser.states(vectors, mask, self.heads[0](condition)[:, None])
        logits = self.denoiser.head(self.denoiser.norm(hidden[mask]))
        each = F.cross_entropy(logits.float(), codes[mask], reduction="none")
        weights = (1 / counts / len(codes))[:, None].expand(codes.shape)[mask]
        return (each * weights).sum()

    def loss(self):
        with torch.set_grad_enabled(self.args.stage == 2):
            condition = self.encoder((self.images - self.mean) / self.std).image_embeds
        self.mark("encoder")
        with torch.no_grad():
            images = self.images
            if self.args.best:
                images = images.contiguous(memory_format=torch.channels_last)
            target = self.autoencoder(images) if self.args.denoiser == "discrete" else self.latents(images)
        self.mark("autoencoder")
        loss = (self.masked_loss if self.args.denoiser == "discrete" else self.flow_loss)(condition, target)
        self.mark("denoiser")
        return loss

    def update(self):
        self.last = time.perf_counter(), time.process_time()
        mixed = self.args.precision == "bfloat16"
        captured = self.args.best and ON_GPU  # the graph must contain the casts of the weights
        with torch.autocast(self.args.device, torch.bfloat16, enabled=mixed, cache_enabled=not captured):
            loss = self.loss()
        loss.backward()
        self.mark("backward")
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.mark("update")
        return loss.detach()

    def __call__(self):
        if self.host_images is not None:
            self.images.copy_(self.host_images, non_blocking=True)
        if self.graph is None:
            return self.update().item()
        self.graph.replay()
        return self.captured_loss.item()


def count_flops(step):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def describe(args):
    text = "PyTorch " + torch.__version__ + (", best configured" if args.best else ", as installed")
    return text + (", TF32" if args.tf32 else "") + (", compiled" if args.compile else "")


def row(args, wall, processor, flops):
    name, uuid = rows.gpu() if ON_GPU else (None, None)
    return rows.make(application="pytorch", configuration=describe(args).split(", ", 1)[1], commit=torch.__version__,
                     backend="pytorch", device=args.device, device_name=name or rows.processor(),
                     hardware=rows.hardware(name, uuid), compiler="torch.compile" if args.compile else None, kind="step",
                     op=f"stage {args.stage}", shape=shape_text(args.arch, args.denoiser, args.layers, args.double_blocks, args.single_blocks), batch=args.batch, unit="images/s",
                     dtype={"float32": "f32", "bfloat16": "bf16"}[args.precision],
                     processor_seconds=statistics.median(processor), **rows.sample(wall, args.batch), **rows.work(wall, flops))


def main():
    args = ARGS
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    torch.backends.cudnn.benchmark = args.best
    torch.manual_seed(0)
    step = Step(args)
    flops = count_flops(step)  # the first warm-up
    if args.compile:
        step.compile()
    if args.best and ON_GPU:
        step.capture()
    for _ in range(args.warmup):
        step()
    wall, processor = [], []
    for _ in range(args.repeats):
        began = time.perf_counter(), time.process_time()
        loss = step()
        wall.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    step.times, step.graph = {}, None
    step()
    wall.sort(), processor.sort()
    median = (wall[(len(wall) - 1) // 2] + wall[len(wall) // 2]) / 2
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_allocated() if ON_GPU else resident
    result = {
        "peer": describe(args), "device": args.device,
        "device_name": torch.cuda.get_device_name() if ON_GPU else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "arch": args.arch, "stage": args.stage, "batch": args.batch, "precision": args.precision,
        "denoiser": args.denoiser, "layers": args.layers, "double_blocks": args.double_blocks, "single_blocks": args.single_blocks, "repeats": args.repeats,
        "parameters_trained": sum(p.numel() for p in step.trained),
        "parameters_frozen": sum(p.numel() for p in step.frozen),
        "images_per_second": args.batch / median, "step_seconds_median": median, "step_seconds_minimum": wall[0],
        "step_processor_seconds_median": (processor[(len(wall) - 1) // 2] + processor[len(wall) // 2]) / 2,
        "phases": {name: {"seconds": a, "processor_seconds": b} for name, (a, b) in step.times.items()},
        "peak_bytes": peak, "resident_bytes": resident,
        "gflops": flops / median * 1e-9, "gflop_per_step": flops * 1e-9, "loss": loss,
    }
    if args.rows:
        rows.append(args.rows, [row(args, wall, processor, flops)])
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
