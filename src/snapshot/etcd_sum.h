/* etcd_sum.h - what a snapshot of an etcd ends with: the SHA-256 of the database before it. */
#pragma once

#include "base/err.h"

#define ETCD_SUM_BYTES 32

/* Of the first n bytes of a file; blocking. */
int etcd_sum(int fd, uint64_t n, unsigned char ret[ETCD_SUM_BYTES], struct err *err);
