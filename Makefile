# Caravel. `make run` starts a cluster, `make test` runs every test; see README.md.

BUILD ?= build
# What a user may want to change.
# NODES=3: a cluster of so many, each in a network namespace (caravel dev).
NODES ?=
DATA_DIR ?= /var/lib/caravel$(if $(NODES),-dev)
KUBECONFIG_FILE ?= /etc/caravel/kubeconfig.yaml
PORT ?= 6443

.PHONY: build run stop clean-data test check oracle apps bench lint fuzz clean deps

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD) caravel
	@test -x $(BUILD)/caravel

$(BUILD)/build.ninja: meson.build
	@test -f $@ || meson setup --buildtype=release -Doptimization=2 -Db_lto=true -Dstrip=true $(BUILD) > /dev/null

deps:
	@tools/deps.sh build

run: build
	@tools/deps.sh run
	@NODES=$(NODES) tools/cluster.sh start $(BUILD)/caravel $(DATA_DIR) $(KUBECONFIG_FILE) $(PORT)

stop:
	@NODES=$(NODES) tools/cluster.sh stop $(BUILD)/caravel $(DATA_DIR) $(KUBECONFIG_FILE) $(PORT)

clean-data:
	@NODES=$(NODES) tools/cluster.sh clean-data $(BUILD)/caravel $(DATA_DIR) $(KUBECONFIG_FILE) $(PORT)

# Everything: unit, conformance, fuzz replay, simulation, end to end, sanitizers.
test:
	@tools/deps.sh test
	@tests/run all

# What needs neither root nor containers, in a minute.
check:
	@tools/deps.sh build
	@tests/run quick

# Every recorded answer of an upstream server; see tests/oracle/README.md.
oracle:
	@tools/deps.sh test
	@tests/run e2e oracle

# Applications of others, their manifests as they are; see tests/e2e/test_corpus_apps.py.
apps:
	@tools/deps.sh test
	@APPS_ALL=1 tests/run e2e corpus_apps

bench: build
	@tools/deps.sh test
	@tools/deps.sh bench || echo "what needs them is skipped" >&2
	@tests/bench/run $(BENCH_ARGS)

lint:
	@tools/deps.sh test
	@tools/lint.sh

# Searches for inputs that break a parser; FUZZ_ARGS="SECONDS TARGET...".
fuzz:
	@tools/deps.sh test
	@tools/fuzz.sh $(FUZZ_ARGS)

clean:
	rm -rf build build-*
