"""Makes tests/fixtures/encode: unusual images, with the results of a CLIP folder's own preprocessing and model.

Images are read by transformers' load_image (an EXIF orientation is applied, alpha dropped), then go through its PIL image
processor and CLIPModel.get_image_features, for both models of tests/fixtures/probe. `expected-<model>.safetensors` holds

  embeddings (n, D)        as projected, not normalised; rows in bytewise order of the names
  pixels     (n, S, S, 3)  uint8: the picture after resizing and cropping, before rescaling

with the names under the metadata key `names`, as written by `genhance encode`.
"""
import json
import os
import shutil
import struct
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel
from transformers.image_utils import load_image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import common
from common import FIXTURES


def picture(width, height, seed, mode="RGB"):
    """A smooth random image with some grain and a hard edge, which exposes a shift or a wrong filter."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse).astype(int) + rng.integers(-9, 10, (height, width, 3))
    pixels[height // 3 :, : width // 4] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def save_deep(array, path):
    """A PNG with 16 bits per sample, (H, W) or (H, W, 3): PIL reads such files but does not write coloured ones."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = array.astype(">u2").reshape(len(array), -1).view(np.uint8)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, 2 if array.ndim == 3 else 0, 0, 0, 0)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b""))


def save_pictures(folder):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    put = lambda image, name, **options: image.save(folder / name, **options)
    put(picture(64, 64, 1), "Exact.png")  # tiny's size: nothing to resample, nothing to crop
    put(picture(64, 91, 2), "crop-only.png")  # the shorter side fits: only cropping, by an odd number
    put(picture(37, 51, 3), "enlarge.png")
    put(picture(231, 142, 4), "reduce.png")
    put(picture(150, 33, 5, "L"), "sub/grey panorama.png")
    put(picture(85, 90, 6).quantize(23), "palette.png")
    put(picture(70, 66, 7, "L").point(lambda v: 255 * (v > 128)).convert("1"), "one-bit.png")
    rgba = picture(73, 80, 8, "RGBA")
    rgba.putalpha(picture(73, 80, 9, "L"))
    put(rgba, "alpha.png")  # alpha is dropped, not blended
    grey_alpha = picture(68, 77, 10, "LA")
    grey_alpha.putalpha(picture(68, 77, 11, "L"))
    put(grey_alpha, "sub/grey-alpha.png")
    put(picture(97, 83, 12), "half-chroma.jpg", quality=80)  # 4:2:0 with odd sides
    put(picture(99, 70, 13), "full-chroma.jpg", quality=90, subsampling=0)
    put(picture(130, 111, 14), "progressive.jpg", quality=60, progressive=True)
    put(picture(81, 121, 15, "L"), "sub/grey.jpeg", quality=85)
    put(picture(88, 92, 16, "CMYK"), "cmyk.jpg", quality=85)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by a quarter"
    put(picture(110, 72, 17), "turned.JPG", quality=85, exif=exif)
    rng = np.random.default_rng(18)
    fine = lambda image: np.asarray(image).astype(int) * 256 + rng.integers(0, 256, np.asarray(image).shape)
    save_deep(fine(picture(77, 69, 19)), folder / "deep.png")
    save_deep(fine(picture(40, 41, 20, "L")) // 200, folder / "deep-grey.png")  # PIL clips grey at 255


def encode(folder, names, clip):
    processor = CLIPImageProcessorPil.from_pretrained(clip)
    opened = [load_image(str(folder / name)) for name in names]
    values = processor(images=opened, return_tensors="pt")["pixel_values"].float()
    pixels = processor(images=opened, return_tensors="np", do_rescale=False, do_normalize=False)["pixel_values"]
    pixels = np.stack(pixels).transpose(0, 2, 3, 1)
    assert np.abs(pixels - pixels.round()).max() == 0 and pixels.min() >= 0 and pixels.max() <= 255
    model = CLIPModel.from_pretrained(clip, attn_implementation="sdpa", dtype=torch.float32).eval()
    with torch.no_grad():
        rough = model.get_image_features(pixel_values=values).pooler_output
        exact = model.double().get_image_features(pixel_values=values.double()).pooler_output
    return {
        "embeddings": exact.float(),
        "error.embeddings": (rough.double() - exact).abs().max().float().reshape(1),
        "pixels": torch.from_numpy(np.ascontiguousarray(pixels.astype(np.uint8))),
    }


if __name__ == "__main__":
    folder = FIXTURES / "encode"
    save_pictures(folder / "images")
    names = sorted((str(p.relative_to(folder / "images")) for p in (folder / "images").rglob("*.*")), key=os.fsencode)
    for name in ("tiny", "edges"):
        result = encode(folder / "images", names, FIXTURES / "probe" / name / "clip")
        save_file(result, folder / f"expected-{name}.safetensors", {"names": json.dumps(names)})
        print(name, tuple(result["embeddings"].shape), "float32 error", result["error.embeddings"].item())
    print(names)
