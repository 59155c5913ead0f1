/* The CRC-32 of zip files (ISO-HDLC: polynomial 0xEDB88320, reflected). */
#ifndef GH_IO_CRC32_H
#define GH_IO_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of some bytes followed by these; crc is that of the bytes before them, 0 at the start. */
uint32_t gh_crc32(uint32_t crc, const void *bytes, size_t size);

#endif
