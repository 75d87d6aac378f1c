#include "cli/token_word.h"

#include "base/file.h"

#define TOKEN_FILE_MAX ((size_t)4096)

int token_word(struct arena *a, const char *flag, const char **token, const char *file, struct err *err)
{
	struct sv text;

	if (!file)
		return 0;
	if (*token)
		return err_set(err, ERR_INVALID, "--%s and --%s-file say the same: give one of them", flag, flag);
	if (file_read_once(a, file, TOKEN_FILE_MAX, &text, err) < 0)
		return err_wrap(err, "--%s-file", flag);
	text = sv_trim(text);
	if (!text.n)
		return err_set(err, ERR_INVALID, "--%s-file: there is no token in '%s'", flag, file);
	*token = arena_cstr(a, text);
	return 0;
}
