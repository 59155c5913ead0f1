"""Spack recipe. In the sources' root:

    spack repo create /somewhere/genhance-repo genhance
    mkdir -p /somewhere/genhance-repo/packages/genhance
    cp packaging/spack/package.py /somewhere/genhance-repo/packages/genhance/
    spack repo add /somewhere/genhance-repo
    spack dev-build genhance@0.2.0

The recipe has no address to fetch from: dev-build takes the folder that it is called in.
"""

from spack.package import *


class Genhance(CMakePackage):
    """Post-trains CLIP vision encoders with GenHancer's two-stage method on any OpenCL or CUDA device."""

    license("Apache-2.0", checked_by="genhance")

    version("0.2.0")

    variant("clblast", default=True, description="Offer CLBlast's matrix products beside genhance's own")
    variant("clfft", default=True, description="Use clFFT for Fourier transforms")
    variant("webp", default=True, description="Read WebP pictures")
    variant("cairo", default=True, description="Draw data sets (genhance scenes)")
    variant("tests", default=False, description="Build the tests")
    variant("pocl", default=True, description="Run on CPUs through PoCL")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")

    depends_on("ocl-icd")
    depends_on("opencl-c-headers")
    depends_on("libpng")
    depends_on("libjpeg-turbo")
    depends_on("cjson")
    depends_on("xxhash")
    depends_on("utf8proc")
    depends_on("clblast", when="+clblast")
    depends_on("clfft", when="+clfft")
    depends_on("libwebp+libwebpdemux", when="+webp")
    depends_on("cairo", when="+cairo")
    depends_on("pocl", type="run", when="+pocl")
    depends_on("cmocka", type=("build", "test"), when="+tests")
    depends_on("libarchive", type=("build", "test"), when="+tests")

    def cmake_args(self):
        # AUTO would take what lies about on the machine: a recipe says what it means.
        return [
            self.define_from_variant("GH_WITH_CLBLAST", "clblast"),
            self.define_from_variant("GH_WITH_CLFFT", "clfft"),
            self.define_from_variant("GH_WITH_WEBP", "webp"),
            "-DGH_WITH_AVIF=OFF",
            self.define_from_variant("GH_WITH_CAIRO", "cairo"),
            self.define_from_variant("BUILD_TESTING", "tests"),
        ]

    @run_after("install")
    @on_package_attributes(run_tests=True)
    def check_install(self):
        """Runs the installed program where Spack was asked to test."""
        program = Executable(self.prefix.bin.genhance)
        program("--version")
