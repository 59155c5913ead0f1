/* The version that a program is compiled against; genhance_version() is that of the library it runs with.
 *
 * Before 1.0 a new minor version may change the binary interface, and the soname changes with it: libgenhance.so.0.2 is
 * every 0.2.x. A patch version keeps the soname: a program built with one 0.2.x runs with any later one. From 1.0 on
 * the soname has only the major version, and minor versions only add to the interface.
 *
 * CMakeLists.txt reads the project's version from this file. */
#ifndef GENHANCE_VERSION_H
#define GENHANCE_VERSION_H

#define GENHANCE_VERSION_MAJOR  0
#define GENHANCE_VERSION_MINOR  2
#define GENHANCE_VERSION_PATCH  0
#define GENHANCE_VERSION_STRING "0.2.0"

#endif
