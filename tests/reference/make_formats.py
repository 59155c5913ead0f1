#!/usr/bin/env python3
"""Makes tests/fixtures/formats/: pictures in BMP, WebP, AVIF and under other endings, with PIL's pixels. Needs
pillow (11.3 or later, for AVIF), numpy, safetensors; the fixtures are committed, so that building and
testing need none of these.

Tensors of expected.safetensors:
  rgb.FILE      u8 (h, w, 3)   Image.open(FILE).convert("RGB")
  upright.FILE  u8 (h, w, 3)   the same after ImageOps.exif_transpose
"""
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "formats"
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)


def picture(height=11, width=13, channels=3):
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin(x / (3 + c)) * np.cos(y / (4 - c % 3)) for c in range(channels)]
    return np.clip(np.stack(planes, -1) + rng.normal(0, 9, (height, width, channels)), 0, 255).astype(np.uint8)


rgb = Image.fromarray(picture())
rgba = Image.fromarray(picture(channels=4), "RGBA")
turned = Image.Exif()
turned[0x0112] = 6

# ---- what PIL writes ----

rgb.save(OUT / "24.bmp")
rgba.save(OUT / "32.bmp")
rgb.convert("L").save(OUT / "grey.bmp")
rgb.convert("1").save(OUT / "1.bmp")
rgb.quantize(37).save(OUT / "palette.bmp")
rgb.save(OUT / "lossless.webp", lossless=True)
rgb.resize((40, 31)).save(OUT / "lossy.webp", quality=70)
rgba.save(OUT / "alpha.webp", lossless=True, exact=True)
rgba.resize((33, 20)).save(OUT / "lossy_alpha.webp", quality=60, exact=True)
rgb.save(OUT / "exif.webp", lossless=True, exif=turned)
other = Image.fromarray(255 - np.asarray(rgb))
rgb.save(OUT / "animation.webp", save_all=True, append_images=[other, rgb], lossless=True, duration=100)
rgb.save(OUT / "photo.jfif", "JPEG", quality=90)
rgb.save(OUT / "turned.JPE", "JPEG", quality=90, exif=turned)
rgb.save(OUT / "best.avif", quality=100, subsampling="4:4:4")
rgb.resize((40, 31)).save(OUT / "lossy.avif", quality=70)
rgba.save(OUT / "alpha.avif", quality=100, subsampling="4:4:4")
rgb.save(OUT / "turned.avif", quality=100, subsampling="4:4:4", exif=turned)

# ---- BMP as others write it ----


def bmp(name, header, palette, rows, masks=b""):
    start = 14 + len(header) + len(masks) + len(palette)
    body = header + masks + palette + rows
    (OUT / name).write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, start) + body)


def windows(width, height, bits, compression=0, colours=0, size=40):
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 2835, 2835, colours, 0)
    return header + bytes(size - 40)


def padded(row):
    return row + bytes(-len(row) % 4)


W, H = 13, 11
colours = rng.integers(0, 256, (16, 3), dtype=np.uint8)
table = b"".join(bytes([*c[::-1], 0]) for c in colours)
table3 = b"".join(bytes(c[::-1]) for c in colours)
index = rng.integers(0, 16, (H, W))


def nibbles(row):
    row = [*row, 0] if len(row) % 2 else list(row)
    return bytes(row[i] << 4 | row[i + 1] for i in range(0, len(row), 2))


four = b"".join(padded(nibbles(row)) for row in index[::-1])
bmp("4.bmp", windows(W, H, 4), table, four)
bmp("4_few.bmp", windows(W, H, 4, colours=9), table[: 9 * 4], four)  # indices beyond the palette
bmp("os2.bmp", struct.pack("<IHHHH", 12, W, H, 1, 4), table3, four)
bmp("topdown.bmp", windows(W, -H, 24), b"", b"".join(padded(bytes(r[:, ::-1].tobytes())) for r in np.asarray(rgb)))
deep = rng.integers(0, 65536, (H, W)).astype("<u2")
sixteen = b"".join(padded(row.tobytes()) for row in deep)
bmp("555.bmp", windows(W, H, 16), b"", sixteen)
bmp("565.bmp", windows(W, H, 16, 3), b"", sixteen, struct.pack("<III", 0xF800, 0x07E0, 0x001F))
wide = rng.integers(0, 2**32, (H, W), dtype=np.uint64).astype("<u4").tobytes()
bmp("32_rgb.bmp", windows(W, H, 32), b"", wide)
v5 = windows(W, H, 32, 3, size=124)
v5 = v5[:40] + struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000) + v5[56:]
bmp("32_masks.bmp", v5, b"", wide)


def runs(rows, bits):
    out = b""
    for row in rows:
        at = 0
        while at < len(row):
            n = min(int(rng.integers(1, 8)), len(row) - at)
            if n >= 3 and rng.random() < 0.6:
                part = nibbles(row[at : at + n]) if bits == 4 else bytes(row[at : at + n])
                out += bytes([0, n]) + part + bytes(len(part) % 2)
            else:
                n = 1
                while at + n < len(row) and row[at + n] == row[at] and n < 200:
                    n += 1
                out += bytes([n, row[at] << 4 | row[at] if bits == 4 else row[at]])
            at += n
        out += b"\0\0"
    return out + b"\0\1"


repeated = np.repeat(rng.integers(0, 16, (H, 5)), 3, axis=1)[:, :W].tolist()
bmp("rle8.bmp", windows(W, H, 8, 1, 16), table, runs(repeated, 8))
bmp("rle4.bmp", windows(W, H, 4, 2, 16), table, runs(repeated, 4))

# ---- what PIL sees ----

tensors = {}
for file in sorted(OUT.iterdir()):
    if file.name == "expected.safetensors":
        continue
    with Image.open(file) as image:
        tensors[f"rgb.{file.name}"] = np.ascontiguousarray(np.asarray(image.convert("RGB")))
        tensors[f"upright.{file.name}"] = np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
save_file(tensors, OUT / "expected.safetensors")
print(len(tensors) // 2, "files")
