"""Sizes of the models of a step, and how genhance's rows name them."""

# architecture: hidden, layers, heads, mlp, image, patch, projection
VISION = {
    "tiny": (128, 4, 4, 512, 64, 8, 128),
    "openai-vit-l-14-224": (1024, 24, 16, 4096, 224, 14, 768),
    "openai-vit-l-14-336": (1024, 24, 16, 4096, 336, 14, 768),
    "metaclip-vit-l-14-224": (1024, 24, 16, 4096, 224, 14, 768),
    "metaclip-vit-h-14-224": (1280, 32, 16, 5120, 224, 14, 1024),
}
FULL = {"hidden": 3072, "heads": 24, "rope_axes": [16, 56, 56], "context_width": 4096, "vector_width": 768}
TINY = {"hidden": 256, "heads": 4, "rope_axes": [8, 28, 28], "context_width": 256, "vector_width": 128}


def default_layers(arch):
    """Of the discrete denoiser, as `genhance bench step` has them."""
    return 2 if arch == "tiny" else 6


def shape_text(arch, denoiser, layers=None, double_blocks=2, single_blocks=4):
    """The shape of a step's row, so that two programs' rows are about the same step."""
    layers = layers or default_layers(arch)
    if denoiser == "discrete":
        hidden, heads = (128, 4) if arch == "tiny" else (1024, 16)
        return f"{arch}, discrete denoiser, layers {layers}, hidden {hidden}, heads {heads}"
    sizes = TINY if arch == "tiny" else FULL
    return (f"{arch}, continuous denoiser, double_blocks {double_blocks}, single_blocks {single_blocks}, "
            f"hidden {sizes['hidden']}, heads {sizes['heads']}")
