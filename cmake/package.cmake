# `cpack` in the build folder makes a .deb. dpkg-shlibdeps finds the dependencies in the binaries.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR genhance)
set(CPACK_PACKAGE_CONTACT "The genhance authors <genhance@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "post-train CLIP vision encoders on any OpenCL or CUDA device")
set(CPACK_PACKAGE_DESCRIPTION
    "Improves the vision encoder of a CLIP or SigLIP model with GenHancer's two-stage
method: a small denoiser learns to draw pictures from the encoder's one global
token, then the encoder learns what that drawing lacks. Contains the program, its
C library and the headers.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Any OpenCL implementation is enough; NVIDIA's driver needs none.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "pocl-opencl-icd | opencl-icd")
include(CPack)
