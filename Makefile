# The face of the build, which is Meson's. `make` builds into build/; `make help` lists the
# rest. On Debian, as root, each target installs the packages it needs; otherwise it says
# which ones are missing.

# The last line of `make check` is the totals, so the makes below it keep quiet.
MAKEFLAGS += --no-print-directory

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# Below the prefix. Debian's linker and CMake look into the directory of the architecture,
# which Meson finds only where dpkg-dev is installed. Elsewhere empty: Meson knows.
LIBDIR ?= $(shell test -f /etc/debian_version && multiarch=$$(gcc -print-multiarch) && \
	echo lib/$$multiarch)

# Given to Meson when the build directory is made, e.g. MESON_FLAGS=-Dbuildtype=debug.
MESON_FLAGS ?=

# Given to the test runner, e.g. RUNNER_FLAGS='-f process/'.
RUNNER_FLAGS ?=

BUILD_NEEDS := gcc libc6-dev meson ninja-build pkg-config libjansson-dev
CHECK_NEEDS := $(BUILD_NEEDS) libcmocka-dev spin
BENCH_NEEDS := $(BUILD_NEEDS) python3 parallel g++ libboost-dev
CI_NEEDS := $(CHECK_NEEDS) python3 mandoc clang clang-format libclang-rt-14-dev g++ cmake \
	musl-tools linux-libc-dev binutils gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
	valgrind

# Written by Meson. A build directory made while cmocka was missing has no tests in it.
MANIFEST = $(BUILD)/tests/tests.list

# What Meson looks up by name: a change means configuring anew.
FOUND_FILES = $(wildcard tests/*/*_test.c tests/fault/*.c tests/cmd/*.sh examples/*.c \
	examples/*.out man/*.[137])

.PHONY: all help run check bench install clean ci ci-deps

all:
	@tools/need $(BUILD_NEEDS)
	@$(MAKE) compile

help:
	@echo 'make           build the library and the command into $(BUILD)/'
	@echo 'make run       build, and run the sample job through the command'
	@echo 'make check     build, and run all tests; the last line has the totals'
	@echo 'make bench     build, and run the benchmarks'
	@echo 'make install   install below PREFIX ($(PREFIX)), itself below DESTDIR'
	@echo 'make clean     remove $(BUILD)/'
	@echo 'make ci        everything that is checked before a change goes in'

.PHONY: configure compile
configure:
	@test -f $(BUILD)/build.ninja || \
	    meson setup $(BUILD) $(if $(LIBDIR),-Dlibdir=$(LIBDIR)) $(MESON_FLAGS)
	@echo '$(FOUND_FILES)' | cmp -s - $(BUILD)/found-files || \
	    { test ! -f $(BUILD)/found-files || meson setup --reconfigure $(BUILD) && \
	      echo '$(FOUND_FILES)' >$(BUILD)/found-files; }

compile: configure
	@ninja -C $(BUILD) -j $(JOBS)

run: all
	@tools/main-job $(BUILD)/brood

check:
	@tools/need $(CHECK_NEEDS)
	@$(MAKE) configure
	@grep -q RUNNER_BAD_CASES $(MANIFEST) || meson configure $(BUILD) -Dtests=enabled
	@$(MAKE) compile
	@$(BUILD)/tests/runner -j 2 $(RUNNER_FLAGS) --manifest $(MANIFEST)

bench:
	@tools/need $(BENCH_NEEDS)
	@$(MAKE) configure
	@meson configure $(BUILD) -Dbench=true
	@$(MAKE) compile
	@bench/run $(BUILD)

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) -j $(JOBS)
	@DESTDIR='$(DESTDIR)' meson install -C $(BUILD) --no-rebuild
	@if test -z '$(DESTDIR)' && test "$$(id -u)" -eq 0; then ldconfig 2>/dev/null || true; fi

clean:
	rm -rf $(BUILD)

ci-deps:
	@tools/need $(CI_NEEDS)

ci:
	@.ci/run
