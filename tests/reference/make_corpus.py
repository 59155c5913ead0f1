"""Seeds of the fuzz targets: small valid inputs for tests/fuzz/corpus/<target>. Inputs found by fuzzing are there
too, under names that begin with "found"; this script does not touch them."""
import io
import json
import pathlib
import shutil
import struct
import tarfile
import zipfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
CORPUS = TESTS / "fuzz" / "corpus"


def put(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tar(format, names, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, **options) as archive:
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            elif "link" in name:
                info.type, info.linkname = tarfile.SYMTYPE, "0001.jpg"
            content = b"" if info.type != tarfile.REGTYPE else bytes(range(10 * i))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    content = out.getvalue().rstrip(b"\0")
    return content + bytes(-len(content) % 512 + 1024)  # the end mark, without the padding to a record


def make_json():
    put("json", "types.json", '{"a": [1, -2.5e3, true, false, null, "x\\n\\u00e9\\ud83d\\ude00é"], "b": {"c": {}}, "": []}\n')
    put("json", "numbers.json", "[0, -0, 1e-320, 1.7976931348623157e308, 9007199254740991, 0.1, 123456789012345]")
    put("json", "deep.json", "[" * 60 + "]" * 60)
    put("json", "string.json", '"\\"\\\\\\/\\b\\f\\n\\r\\t"')


def make_config():
    run = (TESTS / "fixtures" / "config" / "run-example.json").read_bytes()
    put("config", "example.json", run)
    small = {"version": 1, "clip": "c", "autoencoder": "a", "data": {"images": ["d", "s-{0..9}.tar"]}, "output": "o",
             "stage1": {"steps": 1, "checkpoint_at": [1, 2]}, "stage2": {"lora": None}}
    put("config", "small.json", json.dumps(small))
    put("config", "overrides", json.dumps(small).encode() + b'\0stage1.optimizer.lr=1e-3\ndata.images=["x"]\ndevice=auto')


def make_safetensors():
    every = {d.lower(): (d, [2], bytes(range(2 * n))) for d, n in [("BOOL", 1), ("U8", 1), ("I16", 2), ("F16", 2), ("BF16", 2),
                                                                   ("U32", 4), ("F32", 4), ("I64", 8), ("F64", 8)]}
    put("safetensors", "dtypes.safetensors", safetensors(every))
    put("safetensors", "shapes.safetensors", safetensors({"weight": ("F32", [2, 3], bytes(24)), "scalar": ("F32", [], bytes(4)),
                                                          "none": ("F32", [0, 5], b"")}, {"format": "pt", "k": "v"}))


def make_model():
    config = {"model_type": "clip", "projection_dim": 32, "vision_config": {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "image_size": 28,
        "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-5}}
    preprocessor = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 28}, "resample": 3,
                    "do_center_crop": True, "crop_size": {"height": 28, "width": 28}, "do_rescale": True,
                    "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    adapter = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "lora_only", "use_dora": False, "rank_pattern": {}}
    layer = "base_model.model.fc"
    tensors = {layer + ".lora_A.weight": ("F32", [2, 3], bytes(24)), layer + ".lora_B.weight": ("F32", [4, 2], bytes(32)),
               layer + ".base_layer.bias": ("F32", [4], bytes(16))}
    put("model", "config", b"\0" + json.dumps(config).encode())
    put("model", "preprocessor", b"\1" + json.dumps(preprocessor).encode())
    put("model", "siglip", b"\1" + json.dumps({"image_processor_type": "SiglipImageProcessor", "size":
                                               {"height": 28, "width": 28}}).encode())
    put("model", "adapter_config", b"\2" + json.dumps(adapter).encode())
    put("model", "adapter", b"\3" + safetensors(tensors))
    layer = "base_model.model." + "a" * 140
    put("model", "long_name", b"\3" + safetensors({layer + ".lora_A.weight": ("F16", [2, 1], bytes(4)),
                                                   layer + ".lora_B.weight": ("F16", [1, 2], bytes(4))}))
    put("model", "index", b"\4" + json.dumps({"metadata": {}, "weight_map": {"w": "model-1.safetensors"}}).encode())
    sizes = {"quantize.embedding.weight": [2, 1], "encoder.conv_in.weight": [32, 1], "decoder.conv_in.weight": [1, 4],
             "encoder.down.0.block.0.conv1.weight": [32, 1], "encoder.down.1.block.0.conv1.weight": [64, 1]}
    for name in ("vqgan", "autoencoder"):
        put("model", name, b"\5" + safetensors({k: ("F16", s, bytes(2 * s[0] * s[1])) for k, s in sizes.items()}))
        sizes.pop("quantize.embedding.weight", None)
    put("model", "part", b"\5" + safetensors({"w": ("F16", [2], bytes(4))}))


def make_tar():
    names = ["0001.jpg", "0001.txt", "0002.png", "sub/", "sub/a.jpeg", "link.jpg", "0003.webp"]
    long = "d" * 60 + "/" + "e" * 60 + ".jpg"
    put("tar", "ustar.tar", tar(tarfile.USTAR_FORMAT, names + [long]))
    put("tar", "gnu.tar", tar(tarfile.GNU_FORMAT, [names[0], long + "/" + long]))
    put("tar", "pax.tar", tar(tarfile.PAX_FORMAT, [names[0], "é" + long + "/" + long], pax_headers={"comment": "c"}))
    put("tar", "cut.tar", tar(tarfile.USTAR_FORMAT, names)[:1300])
    # the cache entry of a shard (src/data/index.c) next to the shards: the target tries every input as both
    text, notes = b"0001.jpg\0sub/a.jpeg\0", b"/0003.webp: why\0"
    entries = struct.pack("<QII", 512, 9, 0) + struct.pack("<QII", 4096, 40, 9)
    put("tar", "index", struct.pack("<4Q", 2, len(text), 1, len(notes)) + entries + text + notes)


def make_pickle():
    """Copies of the fixtures that make_pickle.py makes."""
    pickles = TESTS / "fixtures" / "pickle"
    files = ["small.pt", "small-legacy.pt", "v3.pt", "lightning.ckpt", "lightning-legacy.ckpt", "wrapped.pth", "legacy4.pt"]
    files += [f"hostile/{name}.pt" for name in ("valid", "zip64-valid", "large-stride", "overlap")]
    for name in files:
        put("torch_file", pathlib.Path(name).name, (pickles / name).read_bytes())
    for name in ("new.pt", "protocol4.pt", "lightning.ckpt", "hostile/system.pt", "hostile/deep-marks.pt", "hostile/cycle.pt"):
        with zipfile.ZipFile(pickles / name) as archive:
            data = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            put("pickle", pathlib.Path(name).stem, archive.read(data))
    put("pickle", "protocol0", b"(lp0\nI01\naL5L\naF1.5\naS'a\\x41'\naV\\u00e9\na(dp1\nS'k'\nccollections\nOrderedDict\n(tRsag1\na.")


def make_images():
    images = TESTS / "fixtures" / "images"
    for name in ["grey1_interlaced", "grey_alpha8", "grey_transparent", "palette4", "palette_transparent", "raw_profile",
                 "rgb16", "rgba8_interlaced", "xmp_packed", "exif6"]:
        shutil.copy(images / f"{name}.png", CORPUS / "png" / f"{name}.png")
    for name in ["cmyk", "exif6", "progressive_grey", "restart", "sampling_mixed", "sampling_ycck", "xmp", "ycc420_odd"]:
        shutil.copy(images / f"{name}.jpg", CORPUS / "jpeg" / f"{name}.jpg")


def make_text():
    for i, text in enumerate(["data/cc3m-{00000..00331}.tar", "{train,extra}-{0..9}.tar", "é/ü{a,b}", "stage1"]):
        put("text", f"{i}", text)


def make_results():
    measured = TESTS.parent / "bench" / "results" / "portability-epyc-avx2" / "rows.jsonl"
    rows = measured.read_text().splitlines(keepends=True)
    wanted = [dict(kind="peak", op="fma"), dict(kind="peak", op="copy"), dict(kind="op"), dict(kind="step")]
    first = lambda want: next((r for r in rows if all(json.loads(r)[k] == v for k, v in want.items())), "")
    chosen = [first(want) for want in wanted] + [next((r for r in rows if json.loads(r)["status"] != "ok"), "")]
    put("results", "rows", "".join(chosen))
    put("results", "interrupted", chosen[0] + chosen[1][:40])


def make_experiment():
    configs = TESTS.parent / "configs"
    put("experiment", "document", b"\0" + (configs / "miniature-tokens.json").read_bytes())
    put("experiment", "sweep", b"\1" + (configs / "table6.tsv").read_bytes())


def make_captions():
    put("captions", "text", b"\0a cat\non a mat\n")
    put("captions", "json", b'\1{"caption": "a cat", "width": 3}')
    put("captions", "shard", b"\2" + tar(tarfile.USTAR_FORMAT, ["a.jpg", "a.txt", "b.jpg", "b.json", "c.txt"]))


if __name__ == "__main__":
    for target in ["png", "jpeg"]:
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for make in [make_json, make_config, make_safetensors, make_model, make_tar, make_pickle, make_images, make_text,
                 make_results, make_experiment, make_captions]:
        make()
