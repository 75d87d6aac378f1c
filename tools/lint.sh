#!/usr/bin/env bash
# What tools can say about the sources without running them: lint.sh [format|tidy] [FILE...]
#
# format: clang-format would change nothing (seconds; part of `make test`).
# tidy:   clang-tidy with the checks of .clang-tidy (minutes: it analyses paths, so not part of `make test`).
#         What bugprone-* finds fails. What the path analyser finds is for reading only: it follows neither
#         reference counts nor calls into other files, and is wrong more often than right about them.
# Without a word both run, on all C files; format repairs with `clang-format -i FILE`.
set -u
cd "$(dirname "$0")/.." || exit 2
build=build-clang what=all bad=0
case "${1:-}" in
format | tidy) what=$1; shift ;;
esac
if [ $# -gt 0 ]; then
	files=("$@")
else
	mapfile -t files < <(git ls-files 'src/*.[ch]' 'tests/*.[ch]')
fi

if [ $what != tidy ]; then
	if ! printf '%s\n' "${files[@]}" | xargs -r -n 40 -P "$(nproc)" clang-format --dry-run --Werror; then
		echo "lint: clang-format -i repairs the files above"
		bad=1
	fi
fi

if [ $what != format ]; then
	if [ ! -f $build/build.ninja ]; then
		CC=clang CXX=clang++ meson setup --buildtype=debug $build > /dev/null || exit 2
	fi
	# generated headers first: the analyser needs every include
	ninja -C $build > /dev/null || { echo "lint: the tree does not build with clang"; exit 1; }
	sources=()
	for f in "${files[@]}"; do
		case $f in src/*.c) sources+=("$f") ;; esac
	done
	out=$(mktemp)
	printf '%s\n' "${sources[@]}" | xargs -r -n 1 -P "$(nproc)" clang-tidy -p $build --quiet > "$out" 2> /dev/null
	# a finding in a header comes once for every file that includes it
	grep -E ' (warning|error): ' "$out" | sed "s|$PWD/||; s|$build/\.\./||; s|^\.\./||" | sort -u
	all=$(grep -cE ' (warning|error): ' <(sort -u "$out"))
	sure=$(grep -cE '\[bugprone-| error: ' <(sort -u "$out"))
	rm -f "$out"
	echo "lint: ${#sources[@]} files analysed, $sure to repair, $((all - sure)) to read"
	[ "$sure" -eq 0 ] || bad=1
fi
exit $bad
