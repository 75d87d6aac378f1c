/* file_sum.h - the SHA-256 of a part of a file: what a snapshot of an etcd ends with, and an upload is signed with. */
#pragma once

#include "base/err.h"

#define FILE_SUM_BYTES 32

/* Of n bytes from `from` on, which are there; blocking. */
int file_sum(int fd, uint64_t from, uint64_t n, unsigned char ret[FILE_SUM_BYTES], struct err *err);
