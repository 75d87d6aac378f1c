#!/usr/bin/env bash
# Every header compiles alone: headers.sh SOURCE_ROOT BUILD_ROOT
set -u
src=$1 build=$2 bad=0 n=0
cd "$src" || exit 2
for h in $(find src -name '*.h' | sort); do
	n=$((n + 1))
	if ! echo "#include \"${h#src/}\"" | ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -Isrc -I"$build/api" -Wall -Wextra \
		-Werror -fsyntax-only -x c - 2> /tmp/headers.$$; then
		echo "$h does not compile alone:"
		head -n 5 /tmp/headers.$$
		bad=$((bad + 1))
	fi
done
rm -f /tmp/headers.$$
echo "headers: $n checked, $bad bad"
[ $bad -eq 0 ]
