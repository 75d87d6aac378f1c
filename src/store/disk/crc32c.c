#include "store/disk/crc32c.h"

#include <pthread.h>

#define CRC32C_POLY UINT32_C(0x82f63b78) /* reflected */

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

/* crc_table[k][b]: the effect of byte b followed by k zero bytes, so that eight bytes cost eight
 * independent look-ups ("slicing by 8"). */
static void crc_init(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;

		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? CRC32C_POLY : 0);
		crc_table[0][b] = c;
	}
	for (uint32_t b = 0; b < 256; b++)
		for (int k = 1; k < 8; k++)
			crc_table[k][b] = crc_table[k - 1][b] >> 8 ^ crc_table[0][crc_table[k - 1][b] & 0xff];
}

uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *b = p;
	uint32_t c = ~crc;

	pthread_once(&crc_once, crc_init);
	for (; n >= 8; n -= 8, b += 8) {
		uint32_t lo = c ^ ((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);

		c = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^ crc_table[5][lo >> 16 & 0xff] ^
		    crc_table[4][lo >> 24] ^ crc_table[3][b[4]] ^ crc_table[2][b[5]] ^ crc_table[1][b[6]] ^
		    crc_table[0][b[7]];
	}
	for (; n; n--, b++)
		c = c >> 8 ^ crc_table[0][(c ^ *b) & 0xff];
	return ~c;
}

#if defined(__x86_64__)
/* The instruction's result comes after three cycles, and a new one can begin in each: so three stretches are gone
 * through side by side. Each then has its place: the first is followed by two of zeros, the second by one. */
#define CRC_SHORT ((size_t)128)
#define CRC_LONG ((size_t)1024)

struct crc_zeros {
	uint32_t t[4][256]; /* what a stretch of zeros makes of a checksum, by each of its bytes */
};

static struct crc_zeros crc_short, crc_long;
static pthread_once_t crc_zeros_once = PTHREAD_ONCE_INIT;

__attribute__((target("sse4.2"))) static void crc_zeros_init_one(struct crc_zeros *z, size_t n)
{
	for (int bit = 0; bit < 32; bit++) {
		uint64_t c = UINT64_C(1) << bit;

		for (size_t i = 0; i < n; i += 8)
			c = __builtin_ia32_crc32di(c, 0);
		for (int b = 0; b < 256; b++)
			if (b >> bit % 8 & 1)
				z->t[bit / 8][b] ^= (uint32_t)c;
	}
}

static void crc_zeros_init(void)
{
	crc_zeros_init_one(&crc_short, CRC_SHORT);
	crc_zeros_init_one(&crc_long, CRC_LONG);
}

static uint32_t crc_skip(const struct crc_zeros *z, uint64_t c)
{
	return z->t[0][c & 0xff] ^ z->t[1][c >> 8 & 0xff] ^ z->t[2][c >> 16 & 0xff] ^ z->t[3][c >> 24 & 0xff];
}

/* Of three stretches of n bytes each, from *b on, which moves behind them. */
__attribute__((target("sse4.2"), always_inline)) static inline uint64_t crc_three(const struct crc_zeros *z, uint64_t c,
										  const unsigned char **b, size_t n)
{
	const unsigned char *p = *b, *end = p + n;
	uint64_t c1 = 0, c2 = 0, w[3];

	for (; p < end; p += 8) {
		memcpy(&w[0], p, 8);
		memcpy(&w[1], p + n, 8);
		memcpy(&w[2], p + 2 * n, 8);
		c = __builtin_ia32_crc32di(c, w[0]);
		c1 = __builtin_ia32_crc32di(c1, w[1]);
		c2 = __builtin_ia32_crc32di(c2, w[2]);
	}
	*b = p + 2 * n;
	return crc_skip(z, crc_skip(z, c) ^ c1) ^ c2;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *b = p;
	uint64_t c = ~crc, word;

	if (n >= 3 * CRC_SHORT)
		pthread_once(&crc_zeros_once, crc_zeros_init);
	for (; n >= 3 * CRC_LONG; n -= 3 * CRC_LONG)
		c = crc_three(&crc_long, c, &b, CRC_LONG);
	for (; n >= 3 * CRC_SHORT; n -= 3 * CRC_SHORT)
		c = crc_three(&crc_short, c, &b, CRC_SHORT);
	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&word, b, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; n; n--, b++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *b);
	return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, p, n);
#endif
	return crc32c_portable(crc, p, n);
}
