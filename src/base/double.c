/* Shortest digits by trying: 15 digits of any decimal survive a double, so most numbers are found at once. */
#include "base/double.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* "-d.ddde+XX" as its bare digits; returns how many. */
static int double_bare(const char *text, const char *e, char ret[DOUBLE_DIGITS_MAX])
{
	int n = 0;

	for (const char *p = text; p < e; p++)
		if (*p >= '0' && *p <= '9' && n < DOUBLE_DIGITS_MAX)
			ret[n++] = *p;
	return n;
}

/* The next decimal above of the same length. */
static void double_up(char *text, char *e)
{
	char *p = e - 1;

	for (; p > text; p--) {
		if (*p == '.')
			continue;
		if (*p != '9')
			break;
		*p = '0';
	}
	if (*p == '9') { /* all nines: 1 and the next power, whose digits are zeros already */
		*p = '1';
		(void)sprintf(e + 1, "%d", atoi(e + 1) + 1);
		return;
	}
	++*p;
}

int double_shortest(double d, char ret[DOUBLE_DIGITS_MAX], int *ret_exp10)
{
	double size = fabs(d);
	char text[40], *e = text;
	int n, x, prec;

	*ret_exp10 = 0;
	ret[0] = '0';
	if (size == 0)
		return 1;
	/* Subnormal ones have fewer digits than 15. */
	for (prec = size < 1e-300 ? 0 : DOUBLE_DIGITS_MAX - 3;; prec++) {
		(void)snprintf(text, sizeof(text), "%.*e", prec, size);
		e = strchr(text, 'e');
		if (prec == DOUBLE_DIGITS_MAX - 1 || strtod(text, NULL) == size)
			break;
		/* Below a power of two doubles are twice as dense as above: the nearest decimal may belong to the next
		 * one down, and the one above it still be this. */
		if (frexp(size, &x) == 0.5) {
			double_up(text, e);
			if (strtod(text, NULL) == size)
				break;
		}
	}
	*ret_exp10 = atoi(e + 1);
	n = double_bare(text, e, ret);
	while (n > 1 && ret[n - 1] == '0')
		n--;
	return n;
}

static void double_exponent(struct buf *b, const char *digits, int n, int exp10, int least)
{
	buf_addc(b, digits[0]);
	if (n > 1) {
		buf_addc(b, '.');
		buf_add(b, digits + 1, (size_t)n - 1);
	}
	buf_printf(b, "e%c%0*d", exp10 < 0 ? '-' : '+', least, abs(exp10));
}

static void double_plain(struct buf *b, const char *digits, int n, int exp10)
{
	if (exp10 < 0) {
		buf_adds(b, "0.");
		for (int i = exp10 + 1; i < 0; i++)
			buf_addc(b, '0');
		buf_add(b, digits, (size_t)n);
	} else if (n <= exp10 + 1) {
		buf_add(b, digits, (size_t)n);
		for (int i = n; i <= exp10; i++)
			buf_addc(b, '0');
	} else {
		buf_add(b, digits, (size_t)exp10 + 1);
		buf_addc(b, '.');
		buf_add(b, digits + exp10 + 1, (size_t)(n - exp10 - 1));
	}
}

void double_json(struct buf *b, double d)
{
	double size = fabs(d);
	char digits[DOUBLE_DIGITS_MAX];
	int exp10, n = double_shortest(d, digits, &exp10);

	if (signbit(d))
		buf_addc(b, '-');
	if (d != 0 && (size < 1e-6 || size >= 1e21))
		double_exponent(b, digits, n, exp10, 1);
	else
		double_plain(b, digits, n, exp10);
}

void double_g(struct buf *b, double d)
{
	char digits[DOUBLE_DIGITS_MAX];
	int exp10, n;

	if (isnan(d) || isinf(d)) {
		buf_adds(b, isnan(d) ? "NaN" : d > 0 ? "+Inf" : "-Inf");
		return;
	}
	n = double_shortest(d, digits, &exp10);
	if (signbit(d))
		buf_addc(b, '-');
	if (exp10 < -4 || exp10 >= 6)
		double_exponent(b, digits, n, exp10, 2);
	else
		double_plain(b, digits, n, exp10);
}
