# gh_libraries: the libraries to link with. GH_PRIVATE_LIBRARIES: the same as bare names, for installed files, which must
# not contain paths of this machine. GH_LIBRARY_DEFINITIONS: macros for the optional libraries that were found.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(GH_LIBS REQUIRED IMPORTED_TARGET OpenCL libpng libturbojpeg libcjson libxxhash libutf8proc)
add_library(gh_libraries INTERFACE)
target_link_libraries(gh_libraries INTERFACE PkgConfig::GH_LIBS Threads::Threads ${CMAKE_DL_LIBS} m)
set(GH_PRIVATE_LIBRARIES ${GH_LIBS_LIBRARIES})

# gh_optional(NAME FOUND LIBRARY INCLUDE BARE LOSS): an optional library. NAME is part of GH_WITH_NAME; LOSS ends
# the message about a missing library.
function(gh_optional name found library include bare loss)
  set(wanted ${GH_WITH_${name}})
  if(wanted STREQUAL "AUTO")
    set(wanted ${found})
  elseif(wanted AND NOT found)
    message(FATAL_ERROR "GH_WITH_${name} is ON, but ${bare} or its header is not installed")
  endif()
  if(wanted)
    target_link_libraries(gh_libraries INTERFACE ${library})
    target_include_directories(gh_libraries SYSTEM INTERFACE ${include})
    set(GH_PRIVATE_LIBRARIES ${GH_PRIVATE_LIBRARIES} ${bare} PARENT_SCOPE)
  else()
    message(STATUS "Without ${bare}: ${loss}")
  endif()
  set(GH_LIBRARY_DEFINITIONS ${GH_LIBRARY_DEFINITIONS} GH_WITH_${name}=$<BOOL:${wanted}> PARENT_SCOPE)
endfunction()

find_library(GH_CLBLAST_LIBRARY clblast)
find_path(GH_CLBLAST_INCLUDE clblast_c.h)
set(found OFF)
if(GH_CLBLAST_LIBRARY AND GH_CLBLAST_INCLUDE)
  set(found ON)
endif()
gh_optional(CLBLAST ${found} "${GH_CLBLAST_LIBRARY}" "${GH_CLBLAST_INCLUDE}" clblast
            "matrix products on OpenCL run on genhance's own kernels only, slower where CLBlast is tuned for the device")

find_library(GH_CLFFT_LIBRARY clFFT)
find_path(GH_CLFFT_INCLUDE clFFT.h)
set(found OFF)
if(GH_CLFFT_LIBRARY AND GH_CLFFT_INCLUDE)
  set(found ON)
endif()
gh_optional(CLFFT ${found} "${GH_CLFFT_LIBRARY}" "${GH_CLFFT_INCLUDE}" clFFT
            "Fourier transforms on OpenCL (`genhance eval spectrum`) run on genhance's own kernels, which are slower")

find_library(GH_WEBP_LIBRARY webp)
find_library(GH_WEBPDEMUX_LIBRARY webpdemux)
find_path(GH_WEBP_INCLUDE webp/demux.h)
set(found OFF)
if(GH_WEBP_LIBRARY AND GH_WEBPDEMUX_LIBRARY AND GH_WEBP_INCLUDE)
  set(found ON)
endif()
gh_optional(WEBP ${found} "${GH_WEBPDEMUX_LIBRARY};${GH_WEBP_LIBRARY}" "${GH_WEBP_INCLUDE}" "webpdemux;webp"
            "WebP pictures are rejected")

find_library(GH_AVIF_LIBRARY avif)
find_path(GH_AVIF_INCLUDE avif/avif.h)
set(found OFF)
if(GH_AVIF_LIBRARY AND GH_AVIF_INCLUDE)
  set(found ON)
endif()
gh_optional(AVIF ${found} "${GH_AVIF_LIBRARY}" "${GH_AVIF_INCLUDE}" avif "AVIF pictures are rejected")

find_library(GH_CAIRO_LIBRARY cairo)
find_path(GH_CAIRO_INCLUDE cairo.h PATH_SUFFIXES cairo)
set(found OFF)
if(GH_CAIRO_LIBRARY AND GH_CAIRO_INCLUDE)
  set(found ON)
endif()
# Only as needed: the shared library draws nothing, and cairo depends on much.
gh_optional(CAIRO ${found} "-Wl,--push-state,--as-needed;${GH_CAIRO_LIBRARY};-Wl,--pop-state" "${GH_CAIRO_INCLUDE}" cairo
            "`genhance scenes` is refused")
