#!/usr/bin/env bash
# Every header compiles alone: headers.sh SOURCE_ROOT BUILD_ROOT
set -u
cd "${1:?}" || exit 2
export BUILD=${2:?}

alone() {
	local said
	said=$(echo "#include \"${1#src/}\"" | ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -Isrc -I"$BUILD/api" -Wall -Wextra \
		-Werror -fsyntax-only -x c - 2>&1) && return
	printf '%s does not compile alone:\n%s\n' "$1" "$(head -n 5 <<< "$said")" # one write: others write, too
	return 1
}
export -f alone

mapfile -t headers < <(find src -name '*.h' | sort)
# shellcheck disable=SC2016  # the inner shell's own
printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -n 20 bash -c 'bad=0; for h in "$@"; do alone "$h" || bad=1; done; exit $bad' alone
status=$?
echo "headers: ${#headers[@]} checked"
[ $status -eq 0 ]
