# SPDX-License-Identifier: Apache-2.0
# forerun: make run | test | lint | bench | chaos | demo | fuzz | install | deb | help

VERSION := 0.1.0
BUILD ?= build
CC := gcc
CLANG ?= clang
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
PKGS := libbpf libcurl libcjson yaml-0.1 expat libmicrohttpd openssl zlib ncursesw
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

# From the top down: a room may use those before it.
ROOMS := base probe place signal export wire documents plan core cloud kube lab

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wno-missing-field-initializers
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lelf -lm
CPPFLAGS := -D_GNU_SOURCE -DFORERUN_VERSION='"$(VERSION)"' -I. -Iuser -I$(BUILD)/include $(PKG_CFLAGS)
CFLAGS ?= -O2 -g
CFLAGS_ALL := -std=gnu11 $(WARN) -fno-omit-frame-pointer -fstack-protector-strong -D_FORTIFY_SOURCE=2 $(CFLAGS)
LDFLAGS_ALL := -Wl,-z,relro,-z,now -pie $(LDFLAGS)
SAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard user/$(2)/*.c))
libs = $(foreach room,$(2),$(BUILD)/$(1)/lib$(room).a)

# Archives from the bottom up, so that the linker finds what a room takes from those above it.
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
LIBS_OPT := $(call libs,opt,$(call reverse,$(ROOMS)))
LIBS_SAN := $(call libs,san,$(call reverse,$(ROOMS)))

.PHONY: all help deps-run deps-test run demo test unit pytest tools fuzz-short fuzz fuzz-run lint lint-run format bench chaos install uninstall deb clean
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/forerun

help:
	@echo "make run      install what is missing, build, watch this host in observe mode"
	@echo "make demo     the whole story in under a minute: a queue forms, capacity is on its way"
	@echo "make test     install what is missing, run every test (root)"
	@echo "make lint     clang-format, clang-tidy, cppcheck"
	@echo "make bench    measure; prints a table, writes build/bench.json"
	@echo "make chaos    play 1,000 seeded schedules of failures (COUNT=N, or SEED=N for one again)"
	@echo "make fuzz     fuzz every parser for FUZZ_SECONDS (default 60) each"
	@echo "make install  into PREFIX (default /usr/local), DESTDIR honoured;  make deb builds a Debian package"

# ---- kernel programs: one object for each architecture, relocated by the running kernel's BTF ----

BPF_SRCS := $(wildcard bpf/*.bpf.c)
BPF_OBJS := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(BPF_SRCS))
BPF_ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
BPF_CFLAGS := -target bpf -mcpu=v3 -g -O2 -Wall -Werror -D__TARGET_ARCH_$(BPF_ARCH) -I. -Ivmlinux -I$(BUILD)/include \
	-isystem /usr/include/$(shell gcc -print-multiarch 2>/dev/null)

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h vmlinux/*.h)
	@mkdir -p $(@D)
	@echo "  BPF     $<"
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/forerun.bpf.o: $(BPF_OBJS)
	$(Q)$(BPFTOOL) gen object $@ $^

$(BUILD)/include/forerun.skel.h: $(BUILD)/forerun.bpf.o
	@mkdir -p $(@D)
	@echo "  SKEL    $@"
	$(Q)$(BPFTOOL) gen skeleton $< name forerun > $@

# ---- userspace ----

# What EC2 sells, compressed, as a constant of the binary.
$(BUILD)/include/catalog_shipped.h: user/plan/catalog.json
	@mkdir -p $(@D)
	@echo "  GZIP    $<"
	$(Q){ echo 'static const unsigned char catalog_shipped_gz[] = {'; \
		gzip -9nc $< | od -An -v -tu1 | sed 's/  */,/g; s/^,//; s/$$/,/'; echo '};'; } > $@

$(BUILD)/opt/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIE -MMD -MP -c $< -o $@

$(BUILD)/san/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC(san) $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu11 -Wall -Wextra -Wno-missing-field-initializers $(SAN) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

$(call objects,opt,probe) $(call objects,san,probe): $(BUILD)/include/forerun.skel.h
$(BUILD)/opt/user/plan/shipped.o $(BUILD)/san/user/plan/shipped.o: $(BUILD)/include/catalog_shipped.h

define room_rules
$$(BUILD)/opt/lib$(1).a: $$(call objects,opt,$(1))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
$$(BUILD)/san/lib$(1).a: $$(call objects,san,$(1))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach room,$(ROOMS),$(eval $(call room_rules,$(room))))

$(BUILD)/forerun: $(call objects,opt,cmd) $(LIBS_OPT)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(call objects,opt,cmd) -Wl,--start-group $(LIBS_OPT) -Wl,--end-group $(PKG_LIBS)

# ---- tests: tests/unit/ROOM_WHAT_test.c is linked with that room and those above it ----

# Reference implementations that a test is held against.
TEST_LIBS_probe_http2_test := -lnghttp2
UNIT_SRCS := $(wildcard tests/unit/*_test.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRCS))
FUZZ_SRCS := $(wildcard tests/fuzz/*_fuzz.c)
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRCS))
FUZZ_SECONDS ?= 60

upto = $(if $(filter $(1),$(firstword $(2))),$(firstword $(2)),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,$(words $(2)),$(2))))
room_of = $(firstword $(subst _, ,$(notdir $(1))))
.SECONDEXPANSION:
$(UNIT_BINS): $(BUILD)/unit/%: $(BUILD)/san/tests/unit/%.o $$(call libs,san,$$(call reverse,$$(call upto,$$(call room_of,$$*),$$(ROOMS))))
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(SAN) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS) $(TEST_LIBS_$*) -lcmocka

$(FUZZ_BINS): $(BUILD)/fuzz/%: $(BUILD)/san/tests/fuzz/%.o $$(call libs,san,$$(call reverse,$$(call upto,$$(call room_of,$$*),$$(ROOMS))))
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(SAN) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS)

unit: $(UNIT_BINS)
	$(Q)set -e; for t in $(UNIT_BINS); do echo "== $$t"; ASAN_OPTIONS=detect_leaks=1 $$t; done

# A program of its own for tests: tests/tools/NAME.c
TOOL_BINS := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(wildcard tests/tools/*.c))
$(TOOL_BINS): $(BUILD)/tools/%: $(BUILD)/opt/tests/tools/%.o $(LIBS_OPT)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(LIBS_OPT) -Wl,--end-group $(PKG_LIBS)
tools: $(TOOL_BINS) $(BUILD)/peers/karpenter $(BUILD)/kube/crdserver

# Karpenter's own scheduler, for tests/plan. What it is made of is kept in Go's build cache: some two minutes the first time.
$(BUILD)/peers/karpenter: $(wildcard tests/peers/karpenter/*.go tests/peers/karpenter/go.*)
	@mkdir -p $(@D)
	@echo "  GO      $@"
	$(Q)BUILD=$(abspath $(BUILD)) nice scripts/go.sh build -C tests/peers/karpenter -o $(abspath $@) .

# The API server's own code for custom resources, for tests/crd: some four minutes of CPU the first time.
$(BUILD)/kube/crdserver: $(wildcard tests/kube/crdserver/*.go tests/kube/crdserver/go.*)
	@mkdir -p $(@D)
	@echo "  GO      $@"
	$(Q)BUILD=$(abspath $(BUILD)) nice scripts/go.sh build -C tests/kube/crdserver -ldflags '-s -w' -o $(abspath $@) .

PYTEST = $(BUILD)/venv/bin/python -m pytest -q -p no:cacheprovider
FUZZ_SHORT_SECONDS ?= 5

deps-run:
	$(Q)scripts/install-deps.sh run
deps-test:
	$(Q)scripts/install-deps.sh test
	$(Q)BUILD=$(BUILD) scripts/venv.sh

# What was just installed must be found: the rest is read by a make of its own.
run: deps-run
	$(Q)$(MAKE) --no-print-directory -s -j$$(nproc) all
	$(Q)$(BUILD)/forerun run --config deploy/examples/standalone --state-dir $(BUILD)/state

demo: deps-test
	$(Q)$(MAKE) --no-print-directory -s all
	$(Q)BUILD=$(BUILD) scripts/demo.sh

test: deps-test
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all tools $(UNIT_BINS) $(FUZZ_BINS)
	$(Q)$(MAKE) --no-print-directory unit fuzz-short pytest

# What looks at this host's own kernel has it for itself; the others wait most of their time, and run side by side.
HOST_TESTS := tests/integration tests/bad
PARALLEL_TESTS := $(filter-out $(HOST_TESTS),$(patsubst %/,%,$(dir $(wildcard tests/*/test_*.py))))

pytest: all tools
	$(Q)BUILD=$(BUILD) $(PYTEST) $(HOST_TESTS)
	$(Q)BUILD=$(BUILD) $(PYTEST) -n 3 --dist loadfile $(sort $(PARALLEL_TESTS))

fuzz-short: $(FUZZ_BINS)
	$(Q)$(MAKE) --no-print-directory fuzz-run FUZZ_SECONDS=$(FUZZ_SHORT_SECONDS)
fuzz: deps-test
	$(Q)$(MAKE) --no-print-directory $(FUZZ_BINS) fuzz-run

# Seeds are in tests/fuzz/NAME/; what the fuzzer finds on its way stays in the build directory.
fuzz-run:
	$(Q)set -e; for t in $(FUZZ_BINS); do \
		name=$$(basename $$t); mkdir -p $(BUILD)/corpus/$$name tests/fuzz/$$name; \
		echo "== $$t, $(FUZZ_SECONDS) s"; \
		$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=0 \
			-artifact_prefix=$(BUILD)/ $(BUILD)/corpus/$$name tests/fuzz/$$name >$(BUILD)/$$name.log 2>&1 || \
			{ tail -n 60 $(BUILD)/$$name.log; exit 1; }; \
	done; rmdir --ignore-fail-on-non-empty tests/fuzz/*/

bench: deps-test
	$(Q)$(MAKE) --no-print-directory -s all tools
	$(Q)BUILD=$(BUILD) $(BUILD)/venv/bin/python tests/bench/bench.py

COUNT ?= 1000
chaos: deps-test
	$(Q)$(MAKE) --no-print-directory -s all
	$(Q)BUILD=$(BUILD) $(BUILD)/venv/bin/python tests/chaos/chaos.py --count $(COUNT) $(if $(SEED),--seed $(SEED))

# ---- installation: PREFIX and DESTDIR are honoured ----

export PREFIX DESTDIR
install: all
	$(Q)BUILD=$(BUILD) scripts/install.sh install
uninstall:
	$(Q)BUILD=$(BUILD) scripts/install.sh uninstall
deb: all
	$(Q)BUILD=$(BUILD) scripts/deb.sh $(VERSION)

# ---- lint ----

lint: deps-test
	$(Q)$(MAKE) --no-print-directory lint-run
lint-run: $(BUILD)/include/forerun.skel.h $(BUILD)/include/catalog_shipped.h
	$(Q)BUILD=$(BUILD) scripts/lint.sh

format:
	clang-format -i $$(git ls-files 'bpf/*.[ch]' 'vmlinux/*.h' 'user/*/*.[ch]' 'tests/*/*.[ch]')

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
