#!/usr/bin/env bash
# What `make run`, `make stop` and `make clean-data` do.
# usage: [NODES=N] cluster.sh start|stop|clean-data CARAVEL DATA_DIR KUBECONFIG PORT
set -euo pipefail
action=$1 caravel=$2 data=$3 kubeconfig=$4 port=$5
pidfile=$data/server.pid log=$data/server.log

say() { echo "caravel: $*"; }
die() { echo "caravel: $*" >&2; exit 1; }

running() { # the pid file names a live caravel server
	[ -f "$pidfile" ] && pid=$(cat "$pidfile") && [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
		tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qE 'caravel (server|dev)'
}

# A cluster of several nodes that `make run NODES=...` has started is meant, too.
dev=/var/lib/caravel-dev
dev_too() { [ -z "${NODES:-}" ] && [ -d $dev ] && [ "$data" = /var/lib/caravel ]; }

# Of `caravel dev` the first node's address; else this machine's own.
api_host() {
	sed -n 's#.*server: https://\(.*\):[0-9]*$#\1#p' "$kubeconfig" 2> /dev/null | grep . || echo 127.0.0.1
}

# The node's own word since the server started: after a stop its last one still says Ready, and its pods are not there.
node_ready() {
	"$kubectl" --kubeconfig "$kubeconfig" get nodes -o jsonpath='{range .items[*].status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{"\n"}{end}' 2> /dev/null |
		while read -r status beat; do
			if [ "$status" = True ] && ! [[ $beat < $started ]]; then echo ready; fi
		done | [ "$(grep -c ready)" -ge "${NODES:-1}" ]
}

api() { curl -sk --max-time 2 "https://$(api_host):$port$1"; }

# kubectl of at least v1.32, or the one we fetch.
find_kubectl() {
	kubectl=$(command -v kubectl || true)
	if [ -n "$kubectl" ]; then
		minor=$("$kubectl" version --client -o json 2> /dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n 1)
		[ "${minor:-0}" -ge 32 ] && kubectl=kubectl && return
	fi
	tools/kubectl.sh build/bin
	kubectl=build/bin/kubectl
}

tour() {
	echo
	echo "Try next:"
	echo "  $kubectl --kubeconfig $kubeconfig get nodes"
	echo "  $kubectl --kubeconfig $kubeconfig apply -f examples/hello.yaml"
}

case $action in
start)
	[ "$(id -u)" -eq 0 ] || die "a node needs root for containers and nftables; run as root, or 'caravel server --disable-agent' for an API server alone"
	find_kubectl
	if running; then
		say "already running (pid $pid, https://127.0.0.1:$port)"
		tour
		exit 0
	fi
	# Another server's answers would pass for ours.
	[ -n "${NODES:-}" ] || ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null ||
		die "port $port is in use by another program; choose one with 'make run PORT=...', or stop it"
	mkdir -p -m 700 "$data"
	say "starting a cluster of ${NODES:-1} node(s); its log is $log"
	started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	command=server
	[ -z "${NODES:-}" ] || { command="dev --nodes $NODES" && rm -f "$kubeconfig"; }
	# shellcheck disable=SC2086
	setsid "$caravel" $command --data-dir "$data" --https-listen-port "$port" --write-kubeconfig "$kubeconfig" \
		>> "$log" 2>&1 < /dev/null &
	pid=$!
	echo $pid > "$pidfile"
	shown=
	for ((i = 0; i < 600; i++)); do
		kill -0 $pid 2> /dev/null || { tail -n 5 "$log" >&2; rm -f "$pidfile"; die "the server stopped; the lines above, from $log, say why"; }
		if [ -z "$shown" ] && [ "$(api /readyz)" = ok ]; then
			say "the API server answers on https://$(api_host):$port"
			shown=api
		fi
		if [ -n "$shown" ] && [ -s "$kubeconfig" ] && node_ready; then
			[ -z "${NODES:-}" ] && say "the node is Ready" || say "all $NODES nodes are Ready"
			tour
			exit 0
		fi
		sleep 0.1
	done
	tail -n 5 "$log" >&2
	die "the node did not become Ready within a minute; see $log"
	;;
stop)
	if [ "$(id -u)" -ne 0 ]; then
		[ ! -d "$data" ] || die "the node was started by root, and root must stop it"
		say "nothing runs on $data"
		exit 0
	fi
	[ -x "$caravel" ] || die "$caravel is missing, which does the stopping; 'make build' makes it"
	if dev_too; then
		"$caravel" dev stop
		rm -f $dev/server.pid
	fi
	if running; then
		say "stopping the server (pid $pid)"
		kill -TERM "$pid" 2> /dev/null || true
		for ((i = 0; i < 300; i++)); do
			kill -0 "$pid" 2> /dev/null || break
			sleep 0.1
		done
		# It may wait for a container runtime that does not answer, and loses nothing by this.
		kill -KILL "$pid" 2> /dev/null || true
	fi
	rm -f "$pidfile"
	# Pods outlive the server on purpose; stopping the cluster takes them along. That needs no data directory:
	# should it be gone, and the pid file with it, the server is still found.
	"$caravel" cleanup --stop --data-dir "$data"
	say "stopped"
	;;
clean-data)
	"$0" stop "$caravel" "$data" "$kubeconfig" "$port"
	if dev_too; then
		rm -rf $dev
	fi
	rm -rf "$data" "$kubeconfig"
	rmdir "$(dirname "$kubeconfig")" 2> /dev/null || true
	say "forgot the cluster: $data and $kubeconfig are gone"
	;;
*)
	die "unknown action '$action'"
	;;
esac
