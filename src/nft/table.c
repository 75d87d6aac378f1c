#include "nft/table.h"

#include "base/lazylib.h"
#include "nft/nfnl.h"

#include <malloc.h>
#include <nftables/libnftables.h>
#include <stdlib.h>

#define LARGE ((size_t)16 << 10) /* of a transaction's text */
#define TRIM ((size_t)256 << 10)

/* Loaded by the first table (base/lazylib.h). */
static typeof(nft_ctx_buffer_error) *sym_nft_ctx_buffer_error;
static typeof(nft_ctx_buffer_output) *sym_nft_ctx_buffer_output;
static typeof(nft_ctx_free) *sym_nft_ctx_free;
static typeof(nft_ctx_get_error_buffer) *sym_nft_ctx_get_error_buffer;
static typeof(nft_ctx_get_output_buffer) *sym_nft_ctx_get_output_buffer;
static typeof(nft_ctx_new) *sym_nft_ctx_new;
static typeof(nft_ctx_output_set_flags) *sym_nft_ctx_output_set_flags;
static typeof(nft_run_cmd_from_buffer) *sym_nft_run_cmd_from_buffer;

static const struct lazylib_sym nft_syms[] = {
	{ "nft_ctx_buffer_error", &sym_nft_ctx_buffer_error },
	{ "nft_ctx_buffer_output", &sym_nft_ctx_buffer_output },
	{ "nft_ctx_free", &sym_nft_ctx_free },
	{ "nft_ctx_get_error_buffer", &sym_nft_ctx_get_error_buffer },
	{ "nft_ctx_get_output_buffer", &sym_nft_ctx_get_output_buffer },
	{ "nft_ctx_new", &sym_nft_ctx_new },
	{ "nft_ctx_output_set_flags", &sym_nft_ctx_output_set_flags },
	{ "nft_run_cmd_from_buffer", &sym_nft_run_cmd_from_buffer },
};

static struct lazylib nft_lib = LAZYLIB("libnftables.so.1", nft_syms);

struct nft_table {
	struct nft_ctx *nft;
	char *name;
	bool (*is_fixed)(struct sv chain);
	struct mnl_socket *nl; /* netfilter netlink */
	uint32_t generation;   /* right after our last commit; 0: not known */
	uint64_t shape;	       /* of the table at the last look */
	uint64_t fixed;	       /* of the chains that are the same as long as the table lives; 0: not known */
	bool looked;	       /* since our last commit */
	size_t since_trim;     /* text of large transactions */
};

static struct nft_ctx *table_ctx(struct err *err)
{
	struct nft_ctx *nft;

	if (lazylib_need(&nft_lib, err) < 0)
		return NULL;
	nft = sym_nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft || sym_nft_ctx_buffer_error(nft) != 0 || sym_nft_ctx_buffer_output(nft) != 0) {
		if (nft)
			sym_nft_ctx_free(nft);
		(void)err_set(err, ERR_INTERNAL, "libnftables does not start");
		return NULL;
	}
	sym_nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_TERSE | NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_NUMERIC_ALL);
	return nft;
}

static int table_run(struct nft_ctx *nft, const char *commands, struct err *err)
{
	const char *why;

	if (sym_nft_run_cmd_from_buffer(nft, commands) == 0)
		return 0;
	why = sym_nft_ctx_get_error_buffer(nft);
	return err_set(err, ERR_INTERNAL, "nft: %.*s", (int)strcspn(why, "\n"), why);
}

/* libnftables keeps what it read of a transaction until the next, forty times the text. Of several large ones in a row
 * each has the same memory; the system has it back when malloc() has several times of that (src/cli/heap.h, too). */
static void table_drop_cache(struct nft_table *t, size_t text)
{
	struct nft_ctx *fresh = table_ctx(NULL);

	if (!fresh)
		return;
	sym_nft_ctx_free(t->nft);
	t->nft = fresh;
	t->since_trim += text;
	if (t->since_trim > TRIM) {
		t->since_trim = 0;
		(void)malloc_trim(0);
	}
}

int nft_table_apply(struct nft_table *t, struct sv commands, struct err *err)
{
	_cleanup_free_ char *text = xstrndup(commands.p, commands.n);
	struct nfnl_shape shape;

	t->looked = false;
	t->generation = 0;
	if (table_run(t->nft, text, err) < 0)
		return -1;
	if (commands.n > LARGE)
		table_drop_cache(t, commands.n);
	(void)nfnl_generation(t->nl, &t->generation, NULL);
	if ((sv_starts(commands, SV("add table ")) || sv_starts(commands, SV("table "))) &&
	    nfnl_shape(t->nl, t->name, t->is_fixed, &shape, NULL) == 0)
		t->fixed = shape.fixed;
	return 0;
}

bool nft_table_intact(struct nft_table *t)
{
	struct nfnl_shape shape;
	uint32_t now;

	if (t->generation == 0 || nfnl_generation(t->nl, &now, NULL) < 0)
		return false;
	if (now == t->generation && t->looked)
		return true;
	/* The generation moves with every table of the machine, so after a change of ours the first look at what
	 * changes only takes the measure. What was done in between to a chain that changes goes unnoticed until the
	 * next change; the other way round, two clusters would rewrite each other's work forever. */
	if (nfnl_shape(t->nl, t->name, t->is_fixed, &shape, NULL) < 0 || !shape.there || shape.fixed != t->fixed ||
	    (t->looked && shape.all != t->shape))
		return false;
	t->shape = shape.all;
	t->looked = true;
	t->generation = now;
	return true;
}

struct mnl_socket *nft_table_socket(struct nft_table *t)
{
	return t->nl;
}

struct nft_table *nft_table_free(struct nft_table *t)
{
	if (!t)
		return NULL;
	if (t->nft)
		sym_nft_ctx_free(t->nft);
	nfnl_close(t->nl);
	free(t->name);
	free(t);
	return NULL;
}

struct nft_table *nft_table_new(const char *name, bool (*is_fixed)(struct sv chain), struct err *err)
{
	struct nft_table *t = xcalloc(1, sizeof(*t));
	uint32_t generation;

	t->name = xstrdup(name);
	t->is_fixed = is_fixed;
	t->nl = nfnl_open(err);
	if (!t->nl)
		return nft_table_free(t);
	if (nfnl_generation(t->nl, &generation, err) < 0) {
		(void)err_wrap(err, "nftables cannot be used (it needs root and a kernel with nf_tables)");
		return nft_table_free(t);
	}
	t->nft = table_ctx(err);
	return t->nft ? t : nft_table_free(t);
}

int nft_table_remove(const char *name, struct err *err)
{
	_cleanup_free_ char *look = xasprintf("list table inet %s", name);
	_cleanup_free_ char *remove = xasprintf("delete table inet %s", name);
	struct nft_ctx *nft = table_ctx(err);
	int rc = 0;

	if (!nft)
		return -1;
	if (table_run(nft, look, NULL) == 0)
		rc = table_run(nft, remove, err) < 0 ? -1 : 1;
	sym_nft_ctx_free(nft);
	return rc;
}

int nft_commands_run(struct sv commands, struct err *err)
{
	_cleanup_free_ char *text = xstrndup(commands.p, commands.n);
	struct nft_ctx *nft = table_ctx(err);
	int rc;

	if (!nft)
		return -1;
	rc = table_run(nft, text, err);
	sym_nft_ctx_free(nft);
	return rc;
}
