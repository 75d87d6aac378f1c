#!/usr/bin/env bash
# Installs the Debian packages a step needs, if they are missing: deps.sh build|run|guestbook|test|bench
set -euo pipefail

build="gcc g++ meson ninja-build pkg-config python3 libuv1-dev libnghttp2-dev libssl-dev libyaml-dev
  zlib1g-dev libnftables-dev libmnl-dev
  libarchive-dev libhttp-parser-dev libldns-dev libre2-dev libsodium23 libzstd-dev libcurl4-openssl-dev libsqlite3-dev libcmocka-dev"
run="curl containerd runc containernetworking-plugins nftables iproute2 procps busybox-static haproxy e2fsprogs"
guestbook="redis-server busybox-static python3"
test="$build $run $guestbook clang libclang-rt-14-dev clang-format clang-tidy nghttp2-client curl unzip nodejs npm
  dnsutils libc-ares-dev lld musl-tools nghttp2-server chromium-headless-shell etcd-server etcd-client"

case "${1:-}" in
build) want=$build ;;
run) want="$build $run" ;;
guestbook) want=$guestbook ;;
test) want=$test ;;
bench) want="$test wrk" ;;
*) echo "usage: deps.sh build|run|guestbook|test|bench" >&2; exit 2 ;;
esac

missing=()
for p in $want; do
	# Node.js often comes from elsewhere than Debian; what counts is that the command is there.
	case $p in
	nodejs) command -v node > /dev/null && continue ;;
	npm) command -v npm > /dev/null && continue ;;
	esac
	dpkg-query -W -f='${db:Status-Status}' "$p" 2> /dev/null | grep -qx installed || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "these packages are missing; install them as root: apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Debian starts services of packages it installs; Caravel runs its own containerd.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' > $policy
	chmod 755 $policy
	trap 'rm -f $policy' EXIT
fi
log=$(mktemp)
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "installing packages failed; the lines above say why" >&2
	exit 1
fi
rm -f "$log"
