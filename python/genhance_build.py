"""Builds the wheel: the shared library by CMake, and the package `genhance` beside it.

A build backend of PEP 517 that needs nothing but Python, CMake and a C compiler. `pip install .` compiles the library;
`pip install . --config-settings library=build/libgenhance.so` takes one that is built.
"""
import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sysconfig
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "genhance"


def version():
    header = (ROOT / "include" / "genhance" / "version.h").read_text()
    return re.search(r'GENHANCE_VERSION_STRING\s+"([0-9.]+)"', header).group(1)


def metadata():
    return "\n".join([
        "Metadata-Version: 2.1", "Name: genhance", f"Version: {version()}",
        "Summary: Post-trains CLIP vision encoders with GenHancer's method on any OpenCL or CUDA device",
        "License: Apache-2.0", "Requires-Python: >=3.9", "Requires-Dist: numpy>=1.21", ""
    ])


def tag():
    return "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def wheel_file():
    return f"Wheel-Version: 1.0\nGenerator: genhance\nRoot-Is-Purelib: false\nTag: {tag()}\n"


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    """Without this, pip builds a wheel to read its metadata."""
    info = pathlib.Path(metadata_directory) / f"genhance-{version()}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata())
    (info / "WHEEL").write_text(wheel_file())
    return info.name


def build_library(folder):
    """Compiles the shared library in `folder` -> its path."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"] +
                   generator, check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "genhance_shared", "--parallel",
                    str(os.cpu_count() or 1)], check=True)
    return folder / "libgenhance.so"


class Wheel:
    """A wheel being written: files, and the record of their hashes."""

    def __init__(self, path):
        self.info = f"genhance-{version()}.dist-info"
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, content, mode=0o644):
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100000 | mode) << 16
        self.zip.writestr(entry, content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(content)}")

    def finish(self):
        self.record.append(f"{self.info}/RECORD,,")
        self.zip.writestr(f"{self.info}/RECORD", "\n".join(self.record) + "\n")
        self.zip.close()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    library = (config_settings or {}).get("library")
    library = pathlib.Path(library) if library else build_library(ROOT / "build" / "wheel")
    name = f"genhance-{version()}-{tag()}.whl"
    wheel = Wheel(pathlib.Path(wheel_directory) / name)
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix in (".py", ".typed"):
            wheel.add(f"genhance/{path.name}", path.read_bytes())
    wheel.add("genhance/libgenhance.so", library.read_bytes(), 0o755)
    wheel.add(f"{wheel.info}/METADATA", metadata().encode())
    wheel.add(f"{wheel.info}/WHEEL", wheel_file().encode())
    wheel.add(f"{wheel.info}/LICENSE", (ROOT / "LICENSE").read_bytes())
    wheel.finish()
    return name


def build_sdist(sdist_directory, config_settings=None):
    """The files that git tracks."""
    base = f"genhance-{version()}"
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True).stdout
    with tarfile.open(pathlib.Path(sdist_directory) / f"{base}.tar.gz", "w:gz") as tar:
        for name in filter(None, listed.decode().split("\0")):
            tar.add(ROOT / name, f"{base}/{name}", recursive=False)
    return f"{base}.tar.gz"
