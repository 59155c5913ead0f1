#!/usr/bin/env python3
"""Makes tests/fixtures/images/ and tests/fixtures/preprocess/: unusual image files, with the results of PIL, transformers and
torchvision. Needs pillow, numpy, transformers, torchvision, safetensors; the fixtures are committed, so
that building and testing need none of these.

Tensors of images/expected.safetensors:
  rgb.FILE                u8 (h, w, 3)   load_image(FILE)
  picture.K               u8 (h, w, 3)   inputs of the entries below
  resize.N.out            u8 (h, w, 3)   Image.resize(size, filter, box), .box f32 (4), .how i64 (2): K, filter
  preprocess.N.out        f32 (3, S, S)  for preprocess/N/preprocessor_config.json, .how i64 (1): K
  crop.{u,size,rule,box}  RandomResizedCrop.get_params with given uniforms
"""
import io
import json
import math
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import torchvision.transforms.transforms as tv
from PIL import Image
from safetensors.numpy import save_file
from transformers.image_utils import load_image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
IMAGES = FIXTURES / "images"
rng = np.random.default_rng(20)
tensors = {}


def smooth(height, width, channels=3):
    """An image with gradients, an edge and some noise, to exercise resampling and chroma subsampling."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [
        127 + 90 * np.sin(x / (3 + c) + c) * np.cos(y / (4 - c % 3)) + 60 * ((x + y) > (width + height) / 2) - 30
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, -1) + rng.normal(0, 8, (height, width, channels)), 0, 255).astype(np.uint8)


pictures = []


def picture_number(array):
    for k, known in enumerate(pictures):
        if np.array_equal(known, array):
            return k
    pictures.append(array)
    tensors[f"picture.{len(pictures) - 1}"] = np.ascontiguousarray(array)
    return len(pictures) - 1


# ---- PNG: our own writer, because PIL writes neither all depths nor interlaced files ----


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered_rows(samples, bits):
    """Packed rows, each with one of the five filters in turn."""
    height, width, channels = samples.shape
    if bits == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        unpacked = (samples.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(unpacked.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, bits * channels // 8)
    out, above = b"", np.zeros(rows.shape[1], np.int64)
    for y, row in enumerate(rows.astype(np.int64)):
        left = np.concatenate([np.zeros(step, np.int64), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, np.int64), above])[: len(row)]
        p = left + above - corner
        pa, pb, pc = abs(p - left), abs(p - above), abs(p - corner)
        paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, above, corner))
        guess = [0 * row, left, above, (left + above) // 2, paeth][y % 5]
        out += bytes([y % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, bits, colour_type, interlaced=False, before=b"", after=b""):
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1).astype(np.int64)
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    raw = b"".join(filtered_rows(p, bits) for p in passes if p.size)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw, 9)) + after
            + chunk(b"IEND", b""))


def exif(orientation, order="II", kind=3):
    e = "<" if order == "II" else ">"
    value = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    other = struct.pack(e + "HHII", 0x0100, 4, 1, 99)
    entry = struct.pack(e + "HHI" + value, 0x0112, kind, 1, orientation)
    return order.encode() + struct.pack(e + "HIH", 42, 8, 2) + other + entry + struct.pack(e + "I", 0)


XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def png_files():
    wide = smooth(13, 21)
    grey = wide[..., 0]
    alpha = rng.integers(0, 256, (13, 21, 1))
    palette = lambda n: chunk(b"PLTE", rng.integers(0, 256, 3 * n).astype(np.uint8).tobytes())
    deep = rng.integers(0, 65536, (13, 21, 4))
    deep_grey = np.where(rng.random((13, 21)) < 0.6, rng.integers(0, 300, (13, 21)), deep[..., 0])
    files = {}
    for interlaced in (False, True):
        end = "_interlaced.png" if interlaced else ".png"
        for bits in (1, 2, 4, 8):
            files[f"grey{bits}{end}"] = png(grey >> (8 - bits), bits, 0, interlaced)
            files[f"palette{bits}{end}"] = png(grey >> (8 - bits), bits, 3, interlaced, palette(1 << bits))
        files[f"grey16{end}"] = png(deep_grey, 16, 0, interlaced)
        files[f"grey_alpha8{end}"] = png(np.concatenate([grey[..., None], alpha], -1), 8, 4, interlaced)
        files[f"grey_alpha16{end}"] = png(deep[..., :2], 16, 4, interlaced)
        files[f"rgb8{end}"] = png(wide, 8, 2, interlaced)
        files[f"rgb16{end}"] = png(deep[..., :3], 16, 2, interlaced)
        files[f"rgba8{end}"] = png(np.concatenate([wide, alpha], -1), 8, 6, interlaced)
        files[f"rgba16{end}"] = png(deep, 16, 6, interlaced)
    files["palette_transparent.png"] = png(grey % 7, 8, 3, False, palette(7) + chunk(b"tRNS", bytes([0, 9, 255])))
    files["palette_short.png"] = png(grey % 11, 8, 3, False, palette(6))
    files["grey_transparent.png"] = png(grey, 8, 0, False, chunk(b"tRNS", struct.pack(">H", int(grey[0, 0]))))
    files["grey16_transparent.png"] = png(deep_grey, 16, 0, False, chunk(b"tRNS", b"\1\0"))
    files["rgb_transparent.png"] = png(wide, 8, 2, False, chunk(b"tRNS", struct.pack(">3H", *map(int, wide[0, 0]))))
    files["gamma.png"] = png(wide, 8, 2, False, chunk(b"gAMA", struct.pack(">I", 100000)))
    files["one_pixel.png"] = png(wide[:1, :1], 8, 2)
    small = smooth(5, 9)
    for o in range(1, 9):
        files[f"exif{o}.png"] = png(small, 8, 2, False, chunk(b"eXIf", exif(o, "MM" if o % 2 else "II")))
    files["exif_behind.png"] = png(small, 8, 2, False, b"", chunk(b"eXIf", exif(6)))
    files["exif_unknown.png"] = png(small, 8, 2, False, chunk(b"eXIf", exif(9)))
    itxt = b"XML:com.adobe.xmp\0\0\0\0\0" + (XMP % 8).encode()
    files["xmp.png"] = png(small, 8, 2, False, chunk(b"iTXt", itxt))
    packed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress((XMP % 5).encode())
    files["xmp_packed.png"] = png(small, 8, 2, False, chunk(b"iTXt", packed))
    profile = (b"Exif\0\0" + exif(6)).hex()
    text = "\nexif\n%8d\n%s\n%s\n" % (len(profile) // 2, profile[:40], profile[40:])
    raw = b"Raw profile type exif\0\0" + zlib.compress(text.encode())
    files["raw_profile.png"] = png(small, 8, 2, False, chunk(b"zTXt", raw))
    return files


# ---- JPEG ----


def dc_jpeg(width, height, factors, adobe=None):
    """Baseline JPEG with flat blocks and any sampling factors [(h, v), ...]: one 4-bit Huffman code per magnitude
    category and a one-bit end of block."""
    top_h, top_v = max(h for h, _ in factors), max(v for _, v in factors)
    segment = lambda marker, body: struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    out = b"\xff\xd8"
    if adobe is not None:
        out += segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe))
    out += segment(0xDB, bytes([0]) + bytes([8] * 64))
    frame = struct.pack(">BHHB", 8, height, width, len(factors))
    out += segment(0xC0, frame + b"".join(bytes([i + 1, h << 4 | v, 0]) for i, (h, v) in enumerate(factors)))
    out += segment(0xC4, bytes([0x00, 0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    out += segment(0xC4, bytes([0x10, 1] + [0] * 15) + bytes([0]))
    scan = bytes([len(factors)]) + b"".join(bytes([i + 1, 0]) for i in range(len(factors)))
    out += segment(0xDA, scan + bytes([0, 63, 0]))
    bits, last = "", [0] * len(factors)
    for _ in range(math.ceil(width / (8 * top_h)) * math.ceil(height / (8 * top_v))):
        for i, (h, v) in enumerate(factors):
            for _ in range(h * v):
                value = int(rng.integers(-100, 100))
                step, last[i] = value - last[i], value
                size = abs(step).bit_length()
                bits += format(size, "04b")
                if size:
                    bits += format(step if step > 0 else step + (1 << size) - 1, f"0{size}b")
                bits += "0"
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return out + coded.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def jpeg(array, **options):
    out = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(out, "JPEG", **({"quality": 88} | options))
    return out.getvalue()


def jpeg_files():
    wide, odd, small = smooth(30, 43), smooth(19, 17), smooth(5, 9)
    cmyk = jpeg(Image.frombytes("CMYK", (21, 13), smooth(13, 21, 4).tobytes()))
    at = cmyk.index(b"Adobe")
    files = {
        "grey.jpg": jpeg(wide[..., 0]),
        "ycc444.jpg": jpeg(wide, subsampling=0),
        "ycc422.jpg": jpeg(wide, subsampling=1),
        "ycc420.jpg": jpeg(wide, subsampling=2),
        "ycc420_odd.jpg": jpeg(odd, subsampling=2, quality=60),
        "progressive.jpg": jpeg(wide, progressive=True, subsampling=2),
        "progressive_grey.jpg": jpeg(odd[..., 1], progressive=True),
        "optimized.jpg": jpeg(odd, optimize=True),
        "restart.jpg": jpeg(wide, restart_marker_rows=1),
        "rgb.jpg": jpeg(odd, keep_rgb=True),
        "cmyk.jpg": cmyk,
        "ycck.jpg": cmyk[: at + 11] + b"\2" + cmyk[at + 12 :],
        "cmyk_no_adobe.jpg": cmyk[: at - 4] + cmyk[at + 12 :],
        "one_pixel.jpg": jpeg(small[:1, :1]),
        "sampling_1x2.jpg": dc_jpeg(27, 33, [(1, 2), (1, 1), (1, 1)]),
        "sampling_4x1.jpg": dc_jpeg(27, 33, [(4, 1), (1, 1), (1, 1)]),
        "sampling_4x2.jpg": dc_jpeg(40, 19, [(4, 2), (1, 1), (1, 1)]),
        "sampling_mixed.jpg": dc_jpeg(27, 33, [(2, 2), (1, 2), (2, 1)]),
        "sampling_chroma_finer.jpg": dc_jpeg(27, 33, [(1, 1), (2, 1), (2, 2)]),
        "sampling_ycck.jpg": dc_jpeg(27, 33, [(2, 2), (1, 1), (1, 1), (2, 2)], adobe=2),
        "stray_bytes.jpg": None,
        "exif_long.jpg": jpeg(small, exif=b"Exif\0\0" + exif(6, "MM", 4)),
        "exif_behind_xmp.jpg": jpeg(small, xmp=(XMP % 3).encode(), exif=b"Exif\0\0" + exif(8)),
        "xmp.jpg": jpeg(small, xmp=(XMP % 7).encode()),
    }
    files["stray_bytes.jpg"] = files["ycc444.jpg"][:-2] + b"\x12\x34\xff\xd9" + b"behind the end"
    for o in range(1, 9):
        files[f"exif{o}.jpg"] = jpeg(small, exif=b"Exif\0\0" + exif(o, "II" if o % 2 else "MM"))
    return files


def make_files():
    for name, data in (png_files() | jpeg_files()).items():
        (IMAGES / name).write_bytes(data)
        tensors["rgb." + name] = np.array(load_image(str(IMAGES / name)))


# ---- resampling ----


def make_resizes():
    picture = smooth(37, 45)
    noise = rng.integers(0, 256, (23, 31, 3)).astype(np.uint8)
    extreme = (rng.integers(0, 2, (16, 16, 3)) * 255).astype(np.uint8)  # overshoots: tests the clamp between the passes
    cases = []
    for size in [(24, 24), (224 // 4, 20), (45, 12), (12, 37), (52, 40), (45, 37), (1, 1), (1, 50), (44, 36), (7, 3)]:
        cases += [(picture, size, 3, None), (picture, size, 2, None)]
    for box in [(0, 0, 45, 37), (3, 5, 40, 33), (2.5, 1.25, 40.75, 36.5), (10.2, 11.7, 11.9, 12.1), (0, 4.5, 45, 30)]:
        cases += [(picture, (24, 18), 3, box), (picture, (20, 37), 3, box), (picture, (24, 18), 2, box)]
    cases += [(noise, s, 3, None) for s in [(62, 46), (30, 22), (5, 40)]]
    cases += [(extreme, s, f, None) for s in [(31, 33), (9, 11), (64, 4)] for f in (2, 3)]
    tall = rng.integers(0, 256, (60, 13, 3)).astype(np.uint8)  # columns before rows
    cases += [(tall, (9, 20), 3, None), (tall, (9, 20), 2, (1.5, 3, 12, 50.5)), (tall, (13, 20), 3, (2, 7.5, 9, 60))]
    cases += [(tall, (12, 57), 3, None), (tall, (12, 58), 3, None)]  # both sides of the rule
    cases += [(noise[:1, :1], (5, 4), 3, None), (noise[:1], (8, 8), 3, None), (noise[:, :1], (8, 8), 3, None)]
    cases += [(noise[:1], (31, 9), 3, None), (noise[:, :2], (1, 23), 2, None)]
    for n, (array, size, number, box) in enumerate(cases):
        full = (0, 0, array.shape[1], array.shape[0])
        out = Image.fromarray(array).resize(size, Image.Resampling(number), box=box)
        tensors[f"resize.{n}.out"] = np.array(out)
        tensors[f"resize.{n}.box"] = np.array(box or full, np.float32)
        tensors[f"resize.{n}.how"] = np.array([picture_number(array), number], np.int64)


# ---- preprocessing ----

CLIP = {"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 18, "width": 18},
        "size": {"shortest_edge": 18}}
SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 18, "width": 18}}


def make_preprocess():
    tall, wide = smooth(61, 40), smooth(29, 64)
    published = {  # as in OpenAI's file
        "crop_size": 18, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 18,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    cases = [
        (CLIPImageProcessorPil, CLIP, tall),
        (CLIPImageProcessorPil, CLIP, wide),
        (CLIPImageProcessorPil, published, smooth(31, 47)),
        (CLIPImageProcessorPil, CLIP, smooth(11, 7)),  # enlarged
        (CLIPImageProcessorPil, CLIP, smooth(75, 22)),  # columns before rows
        (CLIPImageProcessorPil, CLIP, smooth(18, 18)),  # unchanged
        (CLIPImageProcessorPil, CLIP, smooth(3, 40)),  # 18 x 240
        (CLIPImageProcessorPil, CLIP | {"resample": 2, "do_normalize": False}, tall),
        (CLIPImageProcessorPil, CLIP | {"do_resize": False}, wide[:, :33]),  # odd excess
        (CLIPImageProcessorPil, CLIP | {"do_resize": False}, wide[:13, :15]),  # zeros around, odd
        (CLIPImageProcessorPil, CLIP | {"do_resize": False}, wide[:17]),  # zeros above, cropped at the sides
        (CLIPImageProcessorPil, CLIP | {"size": {"shortest_edge": 13}}, tall),  # zeros around
        (CLIPImageProcessorPil, CLIP | {"size": {"height": 24, "width": 20}, "rescale_factor": 0.0078}, tall),
        (CLIPImageProcessorPil, CLIP | {"do_rescale": False}, wide),
        (CLIPImageProcessorPil, CLIP | {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.3, 0.2, 0.1]}, wide),
        (SiglipImageProcessorPil, SIGLIP, tall),
        (SiglipImageProcessorPil, SIGLIP | {"resample": 2, "image_mean": [0.1, 0.2, 0.3]}, wide),
    ]
    for n, (kind, config, array) in enumerate(cases):
        folder = FIXTURES / "preprocess" / str(n)
        folder.mkdir(parents=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        out = kind.from_pretrained(str(folder))(Image.fromarray(array), return_tensors="np")["pixel_values"][0]
        tensors[f"preprocess.{n}.how"] = np.array([picture_number(array)], np.int64)
        tensors[f"preprocess.{n}.out"] = np.ascontiguousarray(out, np.float32)


# ---- random resized crop ----

RULES = [((0.9, 1.0), (0.75, 1.3333333)), ((0.08, 1.0), (0.75, 1.3333333)), ((0.25, 0.25), (1.0, 1.0)),
         ((0.9, 1.0), (2.0, 3.0)), ((0.9, 1.0), (0.25, 0.5))]


class GivenNumbers:
    """Replaces torch inside get_params: float64 throughout, with given uniforms."""

    def __init__(self, u):
        self.u = [float(v) for v in u]

    tensor = staticmethod(lambda values: np.array(values, np.float64))
    log = staticmethod(np.log)

    def exp(self, value):
        return self.Number(math.exp(value.value))

    class Number:
        def __init__(self, value):
            self.value = value

        def item(self):
            return self.value

    def empty(self, _):
        class Draw:
            uniform_ = lambda _, low, high: self.Number(low + self.u.pop(0) * (high - low))

        return Draw()

    def randint(self, low, high, size):
        return self.Number(low + int(self.u.pop(0) * (high - low)))


def make_crops():
    sizes = [(64, 48), (48, 64), (500, 375), (1, 1), (1, 40), (2000, 3), (33, 33), (31, 640)]
    us, shapes, rules, boxes = [], [], [], []
    for r, (scale, ratio) in enumerate(RULES):
        for width, height in sizes:
            for _ in range(3):
                u = rng.random(40).astype(np.float32)
                # A try that does not fit uses no position, so get_params pops 2 numbers while we skip 4.
                numbers = GivenNumbers(u)
                tries = iter(range(10))

                def empty(n, numbers=numbers, u=u, tries=tries, state={"odd": False}):
                    if not state["odd"]:
                        numbers.u = [float(v) for v in u[4 * next(tries) :]]
                    state["odd"] = not state["odd"]
                    return GivenNumbers.empty(numbers, n)

                numbers.empty = lambda n, f=empty, s={"odd": False}: f(n, state=s)
                tv.torch, saved = numbers, tv.torch
                try:
                    top, left, h, w = tv.RandomResizedCrop.get_params(
                        Image.new("L", (width, height)), list(scale), list(ratio))
                finally:
                    tv.torch = saved
                if w < 1 or h < 1:
                    continue  # torchvision fails there
                us.append(u), shapes.append((width, height)), rules.append(r), boxes.append((left, top, w, h))
    tensors["crop.u"] = np.stack(us)
    tensors["crop.size"] = np.array(shapes, np.int64)
    tensors["crop.rule"] = np.array(rules, np.int64)
    tensors["crop.box"] = np.array(boxes, np.int64)


def main():
    for folder in (IMAGES, FIXTURES / "preprocess"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    make_files()
    make_resizes()
    make_preprocess()
    make_crops()
    save_file(tensors, IMAGES / "expected.safetensors")


main()
