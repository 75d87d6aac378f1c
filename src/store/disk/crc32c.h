/* crc32c.h - the Castagnoli checksum (RFC 3720, appendix B.4), by instruction where there is one, three of them at once
 * in what is long. */
#pragma once

#include "base/base.h"

/* Of n bytes, going on from crc (0 to begin). crc32c(0, "123456789") is 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n); /* what it is without the instruction */
