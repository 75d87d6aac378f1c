/* Names of functions: of libraries from what they export, of the program itself from the symbol table in its file,
 * where its static functions are, too. The table is read when a name is wanted, and let go again: names are wanted
 * when something is wrong, not often. The file is the program that runs, yet no offset in it is trusted. */
#include "base/stack.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
	const char *p;
	size_t n;
};

static const void *image_at(const struct image *im, uint64_t offset, uint64_t n, size_t align)
{
	if (offset > im->n || n > im->n - offset || offset % align)
		return NULL;
	return im->p + offset;
}

static bool image_open(struct image *im)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(ElfW(Ehdr)))
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	*im = (struct image){ p, (size_t)st.st_size };
	return p != MAP_FAILED;
}

static const ElfW(Shdr) * image_sections(const struct image *im, size_t *ret_n)
{
	const ElfW(Ehdr) *eh = image_at(im, 0, sizeof(*eh), 1);

	*ret_n = eh->e_shnum;
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_shentsize != sizeof(ElfW(Shdr)))
		return NULL;
	return image_at(im, eh->e_shoff, eh->e_shnum * sizeof(ElfW(Shdr)), _Alignof(ElfW(Shdr)));
}

/* The function that holds address at, as the file counts addresses. */
static bool image_find(const struct image *im, uint64_t at, char *out, size_t max, uint64_t *ret_offset)
{
	size_t n;
	const ElfW(Shdr) *sh = image_sections(im, &n);

	for (size_t i = 0; sh && i < n; i++) {
		const ElfW(Sym) *sym = image_at(im, sh[i].sh_offset, sh[i].sh_size, _Alignof(ElfW(Sym)));
		const char *names;
		uint64_t names_n;

		if (sh[i].sh_type != SHT_SYMTAB || !sym || sh[i].sh_link >= n)
			continue;
		names_n = sh[sh[i].sh_link].sh_size;
		names = image_at(im, sh[sh[i].sh_link].sh_offset, names_n, 1);
		for (size_t k = 0; names && k < sh[i].sh_size / sizeof(*sym); k++) {
			if ((sym[k].st_info & 0xf) != STT_FUNC || at < sym[k].st_value ||
			    at - sym[k].st_value >= sym[k].st_size || sym[k].st_name >= names_n)
				continue;
			(void)snprintf(out, max, "%.*s",
				       (int)strnlen(names + sym[k].st_name, MIN(names_n - sym[k].st_name, max)),
				       names + sym[k].st_name);
			*ret_offset = at - sym[k].st_value;
			return true;
		}
	}
	return false;
}

static int stack_find_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	*(uintptr_t *)ctx = info->dlpi_addr;
	return 1; /* the first is the program itself */
}

const char *stack_name(const void *pc, bool call, char out[STACK_NAME_MAX])
{
	uintptr_t at = (uintptr_t)pc - call, base = 0;
	struct image im = { 0 };
	char name[80];
	uint64_t offset;
	Dl_info info = { 0 }, own = { 0 };
	const char *slash;
	bool found;

	(void)dl_iterate_phdr(stack_find_program, &base);
	if (!dladdr((void *)at, &info) || !info.dli_fname) {
		(void)snprintf(out, STACK_NAME_MAX, "%p", pc);
		return out;
	}
	slash = strrchr(info.dli_fname, '/');
	slash = slash ? slash + 1 : info.dli_fname;
	if (dladdr((void *)stack_name, &own) && own.dli_fbase != info.dli_fbase) {
		(void)snprintf(out, STACK_NAME_MAX, "%.40s(%.60s+0x%zx)", slash, info.dli_sname ? info.dli_sname : "",
			       (size_t)((uintptr_t)pc - (uintptr_t)(info.dli_sname ? info.dli_saddr : info.dli_fbase)));
		return out;
	}
	found = image_open(&im) && image_find(&im, at - base, name, sizeof(name), &offset);
	if (im.p && im.p != MAP_FAILED)
		(void)munmap((void *)im.p, im.n);
	if (found)
		(void)snprintf(out, STACK_NAME_MAX, "%s+0x%zx", name, (size_t)offset + call);
	else
		(void)snprintf(out, STACK_NAME_MAX, "%.60s+0x%zx", slash, (size_t)((uintptr_t)pc - base));
	return out;
}
