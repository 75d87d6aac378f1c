/* The BIO between OpenSSL and a stream: it reads what the stream has received, and writes into the buffer of its loop.
 */
#include "net/stream-internal.h"

static int bio_read(BIO *b, char *out, int n)
{
	struct stream *s = BIO_get_data(b);
	size_t take = MIN(s->in.n, (size_t)n);

	BIO_clear_retry_flags(b);
	if (take == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(out, s->in.p, take);
	s->in.p += take;
	s->in.n -= take;
	return (int)take;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct stream *s = BIO_get_data(b);

	buf_add(&s->sl->cipher, p, (size_t)n);
	return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	const struct stream *s = BIO_get_data(b);

	(void)num;
	(void)ptr;
	if (cmd == BIO_C_GET_FD) /* whose address the connection leads to (tls_names.c) */
		return s->fd;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	BUG_ON(!bio_method);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

int stream_tls_start(struct stream *s, struct tls_ctx *tls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *b;

	pthread_once(&once, bio_method_make);
	s->ssl = SSL_new(tls_ctx_ssl(tls));
	b = s->ssl ? BIO_new(bio_method) : NULL;
	if (!b)
		return tls_err(&s->err, NULL, ERR_INTERNAL, "starting TLS");
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(s->ssl, b, b);
	return 0;
}
