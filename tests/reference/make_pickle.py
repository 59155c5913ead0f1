"""Makes tests/fixtures/pickle: files of torch.save in both containers, what is in them as safetensors, and hostile ones.

The older container has memory addresses as the keys of its storages: the files with "legacy" in their names differ from
run to run, the others do not.
"""
import argparse
import io
import json
import pathlib
import pickle
import shutil
import struct
import sys
import types
import warnings
import zipfile
import zlib

import numpy
import torch
from safetensors.torch import load_file, save_file

fixtures = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
out = fixtures / "pickle"
hostile = out / "hostile"
warnings.filterwarnings("ignore")
shutil.rmtree(out, ignore_errors=True)
hostile.mkdir(parents=True)

# --- tensors -------------------------------------------------------------------------------------------------------
torch.manual_seed(5)
g = torch.Generator().manual_seed(5)
base = torch.randn(5, 7, generator=g)
tensors = {
    "f32": base,
    "f16": base.half(),
    "bf16": base.bfloat16(),
    "f64": base.double(),
    "i64": torch.tensor([-1, 0, 2**40]),
    "i32": torch.tensor([-7, 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([-300, 300], dtype=torch.int16),
    "i8": torch.tensor([-128, 127], dtype=torch.int8),
    "u8": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(4.5),
    "empty": torch.zeros(0, 4),
    "transposed": base.t(),
    "permuted": torch.randn(2, 3, 4, generator=g).permute(2, 0, 1),
    "sliced": base[1:4, 2:6],
    "stepped": base[::2, ::3],
    "last_row": base[4],
    "expanded": torch.tensor([1.5, -2.5]).view(2, 1).expand(2, 3),
    "one_by_n": torch.arange(4).expand(1, -1),
    "parameter": torch.nn.Parameter(torch.randn(3, generator=g)),
    "tied": base,
    "a longer name/with Ünicode": torch.ones(2),
}
save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, out / "expected.safetensors")
torch.save(tensors, out / "new.pt")
torch.save(tensors, out / "legacy.pt", _use_new_zipfile_serialization=False)
for protocol in (3, 4, 5):
    torch.save(tensors, out / f"protocol{protocol}.pt", pickle_protocol=protocol)
torch.save(tensors, out / "legacy4.pt", pickle_protocol=4, _use_new_zipfile_serialization=False)
small = {"w": torch.arange(6, dtype=torch.float32).view(2, 3), "b": torch.tensor([1.0])}
torch.save(small, out / "small.pt")
torch.save(small, out / "small-legacy.pt", _use_new_zipfile_serialization=False)
narrow = {"u16": torch.tensor([1, 65535], dtype=torch.uint16), "f8": torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn)}
torch.save(narrow, out / "v3.pt")
torch.save({"ok": torch.ones(1), "z": torch.tensor([1 + 2j])}, out / "complex.pt")
torch.save({"q": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, out / "quantized.pt")
torch.save(torch.nn.Linear(2, 2).state_dict(), out / "module.pt")  # an OrderedDict with _metadata


# --- a training framework's checkpoint ------------------------------------------------------------------------------
def foreign(module, name):
    """A class of a package that is not installed here."""
    made = type(name, (), {"__module__": module})
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(".".join(parts[: i + 1])))
    setattr(sys.modules[module], name, made)
    return made


callback = foreign("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
node = foreign("omegaconf.dictconfig", "DictConfig")
config = node()
config.__dict__.update(_content={"lr": 4.5e-6, "ids": {1, 2, 3}}, _parent=None)
lightning = {
    "epoch": 3,
    "global_step": 2**33,
    "pytorch-lightning_version": "1.0.8",
    "state_dict": {
        "encoder.conv_in.weight": torch.randn(2, 3, generator=g),
        "quantize.embedding.weight": torch.randn(4, 2, generator=g),
        "loss.logvar": torch.tensor(0.5),
        "loss.discriminator.main.0.weight": torch.randn(2, 2, generator=g),
        "model_ema.decay": torch.tensor(0.9999),
        "version": 7,
    },
    "callbacks": {callback: {"best_model_score": torch.tensor(1.0), "best": numpy.float64(0.25), "path": pathlib.PurePosixPath("a/b")}},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(2, 3, generator=g)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}],
    "hyper_parameters": argparse.Namespace(config=config, lr=0.1, seed=None, scales=(1.0, 2), rng=numpy.arange(3)),
}
kept = {k: lightning["state_dict"][k] for k in ("encoder.conv_in.weight", "quantize.embedding.weight")}
save_file(kept, out / "lightning.safetensors")
torch.save(lightning, out / "lightning.ckpt")
torch.save(lightning, out / "lightning-legacy.ckpt", pickle_protocol=2, _use_new_zipfile_serialization=False)
torch.save({"model": {"module": {"net.w": torch.ones(2), "ema.w": torch.zeros(2)}}, "lr": 1.0}, out / "wrapped.pth")

# --- a set of files, and a model folder ------------------------------------------------------------------------------
shards = out / "shards"
shards.mkdir()
names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
torch.save({"w": small["w"]}, shards / names[0])
torch.save({"b": small["b"]}, shards / names[1])
index = {"metadata": {"total_size": 28}, "weight_map": {"w": names[0], "b": names[1]}}
(shards / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
(out / "clip").mkdir()
torch.save(load_file(fixtures / "text" / "clip" / "model.safetensors"), out / "clip" / "pytorch_model.bin")


# --- hostile files ---------------------------------------------------------------------------------------------------
def archive(data, entries=(), compression=zipfile.ZIP_STORED, order=b"little"):
    """A zip file as torch.save's, with this pickle."""
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", compression) as z:
        for name, content in [("archive/data.pkl", data), ("archive/byteorder", order), *entries]:
            z.writestr(zipfile.ZipInfo(name), content, compression)
    return to.getvalue()


def put(name, data):
    (hostile / f"{name}.pt").write_bytes(data)


def unicode(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def storage(key, count, view):
    return b"(" + unicode("storage") + b"ctorch\nFloatStorage\n" + unicode(key) + unicode("cpu") + count + view + b"tQ"


def tensor(offset=b"K\0", shape=b"K\x02\x85", stride=b"K\x01\x85", count=b"K\x02", key="0", view=b""):
    """{"a": a tensor}"""
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(key, count, view) + offset + shape + stride
    return b"\x80\x02}" + unicode("a") + rebuild + b"\x89}tRs."


ELEMENTS = [("archive/data/0", b"\0\0\x80?\0\0\0@")]  # 1, 2
LARGE = b"\x8a\x08" + struct.pack("<q", 2**60)
put("valid", archive(tensor(), ELEMENTS))
pair = tensor()[3:-2]  # "a" and its tensor
ordered = b"\x80\x02ccollections\nOrderedDict\n](]("
put("python2", archive(ordered + pair + b"ee\x85R.", ELEMENTS))  # OrderedDict([["a", tensor]])
put("python2-pair", archive(ordered + pair + b"Nee\x85R.", ELEMENTS))
put("python2-items", archive(ordered + pair + b"ee\x85R(" + pair + b"u.", ELEMENTS))
ONE = {"shape": b"K\x01\x85", "view": unicode("v") + b"K\1K\1\x87"}  # an element that begins at element 1
put("view", archive(tensor(**ONE), ELEMENTS))
put("view-offset", archive(tensor(offset=b"K\1", **ONE), ELEMENTS))
put("view-outside", archive(tensor(shape=b"K\x01\x85", view=unicode("v") + b"K\2K\1\x87"), ELEMENTS))


class Run:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


import os  # noqa: E402: only named, never called

put("system", archive(pickle.dumps({"a": Run(os.system, "true")}, 2)))
put("system-protocol4", archive(pickle.dumps({"a": Run(os.system, "true")}, 4)))
put("system-legacy", pickle.dumps({"a": Run(os.system, "true")}, 2))
put("eval", archive(pickle.dumps({"a": Run(eval, "1")}, 2)))
put("eval-unused", archive(b"\x80\x02cbuiltins\neval\n" + unicode("1") + b"\x85R0}."))
put("getattr", archive(b"\x80\x02cbuiltins\ngetattr\n."))
put("module", archive(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b."))
put("load", archive(b"\x80\x02ctorch\nload\n."))
put("dotted", archive(b"\x80\x04\x8c\x13pytorch_lightning.x\x8c\x01y\x93\x8c\x02os\x8c\x0bpath.system\x93\x86."))
put("inert-called", archive(b"\x80\x02}" + unicode("a") + b"cargparse\nNamespace\n)RQs."))
put("deep-lists", archive(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."))
put("deep-tuples", archive(b"\x80\x02N" + b"\x85" * 5000 + b"."))
put("deep-marks", archive(b"\x80\x02" + b"(" * 5000 + b"."))
put("long-text", archive(b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"abc."))
put("long-bytes", archive(b"\x80\x05\x8e" + struct.pack("<Q", 2**64 - 1) + b"abc."))
put("long-long", archive(b"\x80\x02\x8b\xff\xff\xff\xff."))
put("long-frame", archive(b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}."))
put("memo-index", archive(b"\x80\x02}r\0\0\0\x80."))
put("memo-line", archive(b"}p99999999999999999999999\n."))
put("memo-absent", archive(b"\x80\x02h\x05."))
put("stack-empty", archive(b"\x80\x02\x85."))
put("mark-missing", archive(b"\x80\x02]e."))
put("below-mark", archive(b"\x80\x02](NNas."))
put("left-over", archive(b"\x80\x02}}."))
put("no-stop", archive(b"\x80\x02}"))
put("protocol", archive(b"\x80\x63}."))
put("opcode", archive(b"\x80\x02\xff."))
put("extension", archive(b"\x80\x02\x82\x01."))
put("cycle", archive(b"\x80\x02]q\0h\0a."))
put("self-dict", archive(b"\x80\x02}q\0" + unicode("state_dict") + b"h\0s."))
put("offset", archive(tensor(offset=b"K\x01"), ELEMENTS))
put("negative-offset", archive(tensor(offset=b"J\xff\xff\xff\xff"), ELEMENTS))
put("large-offset", archive(tensor(offset=LARGE), ELEMENTS))
put("large-shape", archive(tensor(shape=LARGE + b"\x85"), ELEMENTS))
put("large-shapes", archive(tensor(shape=LARGE + LARGE + b"\x86", stride=b"K\0K\0\x86"), ELEMENTS))
put("large-expanded", archive(tensor(shape=b"\x8a\x06\0\0\0\0\0\x10\x85", stride=b"K\0\x85"), ELEMENTS))
put("large-stride", archive(tensor(stride=LARGE + b"\x85"), ELEMENTS))
put("negative-stride", archive(tensor(stride=b"J\xff\xff\xff\xff\x85"), ELEMENTS))
put("rank", archive(tensor(shape=b"(" + b"K\x01" * 9 + b"t", stride=b"(" + b"K\x01" * 9 + b"t"), ELEMENTS))
put("ranks-differ", archive(tensor(stride=b"K\x01K\x01\x86"), ELEMENTS))
put("large-storage", archive(tensor(count=LARGE), ELEMENTS))
put("larger-storage", archive(tensor(count=b"K\x03"), ELEMENTS))
put("absent-storage", archive(tensor(key="7"), ELEMENTS))
put("not-a-storage", archive(tensor().replace(b"tQ", b"t0N"), ELEMENTS))
put("name-zero", archive(tensor().replace(unicode("a"), unicode("a\0b")), ELEMENTS))
put("name-twice", archive(tensor()[:-1] + unicode("a") + tensor()[9:], ELEMENTS))
put("top-tensor", archive(tensor()[9:-2] + b".", ELEMENTS))
put("no-tensors", archive(pickle.dumps({"epoch": 1}, 2)))
put("no-pickle", archive(b"}.").replace(b"data.pkl", b"other.pk"))
put("torchscript", archive(tensor(), ELEMENTS + [("archive/constants.pkl", b")."), ("archive/code/a.py", b"")]))
put("big-endian", archive(tensor(), ELEMENTS, order=b"big"))
put("plain-pickle", pickle.dumps({"a": 1}, 2) * 3)
put("text", b"this is a text, not a file of torch.save")
put("deflated", archive(tensor() + b"\0" * 100000, ELEMENTS, zipfile.ZIP_DEFLATED))
put("two-entries", archive(tensor(), ELEMENTS * 2))


def patched(name, at, value, signature=b"PK\1\2", entry="archive/data/0"):
    """Overwrites a field of an entry's row of the directory (or of its own header)."""
    data = bytearray(archive(tensor(), ELEMENTS))
    place = data.find(entry.encode()) - (46 if signature == b"PK\1\2" else 30)
    while data[place : place + 4] != signature:
        place = data.find(entry.encode(), place + 60) - 46
    data[place + at : place + at + len(value)] = value
    put(name, bytes(data))


patched("crc-data", 16, b"\1\2\3\4")
patched("crc-pickle", 16, b"\1\2\3\4", entry="archive/data.pkl")
patched("encrypted", 8, b"\1\0")
patched("elsewhere", 42, b"\0\0\0\0")
patched("overlap", 20, struct.pack("<II", len(tensor()) + 9, len(tensor()) + 9), entry="archive/data.pkl")
patched("far-header", 42, b"\xf0\xff\xff\x7f")
patched("large-entry", 20, b"\xff\xff\xff\x7f" * 2)
patched("local-name", 30, b"b", b"PK\3\4")
patched("zip64-missing", 20, b"\xff\xff\xff\xff" * 2)


def zip64(size):
    """An entry whose size stands in the zip64 field of the directory: 2^62 bytes in a file of a few hundred."""
    plain = archive(tensor(), ELEMENTS)
    data, name = bytearray(plain), b"archive/data/0"
    end = data.rfind(b"PK\5\6")
    row = data.rfind(b"PK\1\2", 0, end)
    assert data[row + 46 : row + 46 + len(name)] == name
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    data[row + 20 : row + 28] = b"\xff" * 8
    data[row + 30 : row + 32] = struct.pack("<H", len(extra))
    data[row + 46 + len(name) : row + 46 + len(name)] = extra
    end += len(extra)
    data[end + 12 : end + 16] = struct.pack("<I", struct.unpack("<I", data[end + 12 : end + 16])[0] + len(extra))
    return bytes(data)


put("zip64-valid", zip64(8))
put("zip64-huge", zip64(2**62))
many = bytearray(archive(tensor(), ELEMENTS))
many[-14:-10] = b"\xf0\xff\xf0\xff"
put("many-entries", bytes(many))
duplicate = io.BytesIO()
with zipfile.ZipFile(duplicate, "w") as z:
    for folder in ("a", "b"):
        z.writestr(zipfile.ZipInfo(f"{folder}/data.pkl"), b"}.")
put("two-pickles", duplicate.getvalue())
assert zlib.crc32(b"123456789") == 0xCBF43926  # the value that test_pickle.c expects
