# gh_libraries: the libraries to link with. GH_PRIVATE_LIBRARIES: the same as bare names, for installed files, which must
# not contain paths of this machine. GH_LIBRARY_DEFINITIONS: macros for the optional libraries that were found.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(GH_LIBS REQUIRED IMPORTED_TARGET OpenCL libpng libturbojpeg libcjson libxxhash libutf8proc)
add_library(gh_libraries INTERFACE)
target_link_options(gh_libraries INTERFACE LINKER:--as-needed) # the shared library does not draw, and cairo depends on much
target_link_libraries(gh_libraries INTERFACE PkgConfig::GH_LIBS Threads::Threads ${CMAKE_DL_LIBS} m)
set(GH_PRIVATE_LIBRARIES ${GH_LIBS_LIBRARIES})

# gh_optional(NAME HEADER LIBRARIES LOSS): an optional library. NAME is part of GH_WITH_NAME; LOSS ends the message about a
# missing one.
function(gh_optional name header libraries loss)
  set(found ON)
  set(paths "")
  foreach(library ${libraries})
    find_library(GH_${name}_${library} ${library})
    list(APPEND paths ${GH_${name}_${library}})
    if(NOT GH_${name}_${library})
      set(found OFF)
    endif()
  endforeach()
  find_path(GH_${name}_INCLUDE ${header} PATH_SUFFIXES ${libraries})
  if(NOT GH_${name}_INCLUDE)
    set(found OFF)
  endif()
  set(wanted ${GH_WITH_${name}})
  if(wanted STREQUAL "AUTO")
    set(wanted ${found})
  elseif(wanted AND NOT found)
    message(FATAL_ERROR "GH_WITH_${name} is ON, but ${libraries} or its header is not installed")
  endif()
  if(wanted)
    target_link_libraries(gh_libraries INTERFACE ${paths})
    target_include_directories(gh_libraries SYSTEM INTERFACE ${GH_${name}_INCLUDE})
    set(GH_PRIVATE_LIBRARIES ${GH_PRIVATE_LIBRARIES} ${libraries} PARENT_SCOPE)
  else()
    message(STATUS "Without ${libraries}: ${loss}")
  endif()
  set(GH_LIBRARY_DEFINITIONS ${GH_LIBRARY_DEFINITIONS} GH_WITH_${name}=$<BOOL:${wanted}> PARENT_SCOPE)
endfunction()

gh_optional(CLBLAST clblast_c.h clblast
            "matrix products on OpenCL run on genhance's own kernels only, slower where CLBlast is tuned for the device")
gh_optional(CLFFT clFFT.h clFFT
            "Fourier transforms on OpenCL (`genhance eval spectrum`) run on genhance's own kernels, which are slower")
gh_optional(WEBP webp/demux.h "webpdemux;webp" "WebP pictures are rejected")
gh_optional(AVIF avif/avif.h avif "AVIF pictures are rejected")
gh_optional(CAIRO cairo.h cairo "`genhance scenes` is refused")
