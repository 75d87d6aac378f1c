#!/usr/bin/env bash
# Searches with libFuzzer: fuzz.sh [SECONDS] [TARGET...]. Each target runs SECONDS (30), one after the other.
#
# Starts from the corpus in the tree; what it finds on the way stays in build-fuzz/corpus/. An input that breaks
# something lands in build-fuzz/found/: put it into tests/fuzz/corpus/<target>/ with the repair.
set -u
cd "$(dirname "$0")/.." || exit 2
seconds=${1:-30}
[ $# -gt 0 ] && shift
build=build-fuzz bad=0
if [ ! -f $build/build.ninja ]; then
	CC=clang CXX=clang++ meson setup --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-fsanitize=fuzzer-no-link $build > /dev/null || exit 2
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for f in tests/fuzz/fuzz_*.c; do
	f=${f##*/fuzz_}
	targets+=("${f%.c}")
done
mkdir -p $build/found
for t in "${targets[@]}"; do
	ninja -C $build "tests/fuzz/search_$t" > $build/ninja.log || { tail -n 20 $build/ninja.log; exit 1; }
	mkdir -p "$build/corpus/$t"
	if $build/tests/fuzz/search_"$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
		-artifact_prefix="$build/found/$t-" "$build/corpus/$t" "tests/fuzz/corpus/$t" > "$build/$t.log" 2>&1; then
		echo "ok    $t  $(grep -o '^Done [0-9]* runs' "$build/$t.log")"
	else
		echo "BROKE $t; the end of $build/$t.log:"
		tail -n 25 "$build/$t.log"
		bad=1
	fi
done
exit $bad
