#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-format, clang-tidy and cppcheck over the project's C; all three are always run.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
all=$(git ls-files 'bpf/*.[ch]' 'vmlinux/*.h' 'user/*/*.[ch]' 'tests/*/*.[ch]')
sources=$(git ls-files 'user/*/*.c')
cores=$(nproc)
failed=0

echo "clang-format: $(echo "$all" | wc -l) files"
# shellcheck disable=SC2086
clang-format --dry-run -Werror $all || failed=1

echo "clang-tidy: $(echo "$sources" | wc -l) files"
flags="-std=gnu11 -D_GNU_SOURCE -DFORERUN_VERSION=\"lint\" -I. -Iuser -I$build/include"
flags="$flags $(pkg-config --cflags libbpf libcurl libcjson yaml-0.1 expat libmicrohttpd openssl zlib ncursesw)"
export flags
echo "$sources" | xargs -P "$cores" -n 4 sh -c '
	out=$(clang-tidy --quiet "$@" -- $flags 2>/dev/null) && exit 0
	printf "%s\n" "$out"
	exit 1' tidy || failed=1

# It does not know __attribute__((cleanup)), so it may not judge leaks; LeakSanitizer does.
echo "cppcheck"
# shellcheck disable=SC2086
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
	--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=memleak --suppress=resourceLeak \
	-D'__typeof__(x)=auto' -D_GNU_SOURCE -D'FORERUN_VERSION="lint"' -I. -Iuser -j "$cores" $sources || failed=1

[ $failed = 0 ] && echo "lint: clean"
exit $failed
