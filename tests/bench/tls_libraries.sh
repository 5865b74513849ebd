#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compares TLS libraries for the core's side: tests/bench/tls_libraries.sh [CONNECTIONS [RECORDS]]
# Those that are not installed are left out (libgnutls28-dev, libwolfssl-dev). mbedTLS of Debian 12 (2.28) has no TLS 1.3.
set -eu
cd "$(dirname "$0")"
connections=${1:-2000}
records=${2:-200000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A socket on each side of every connection.
ulimit -n $((2 * connections + 64))

new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
# shellcheck disable=SC2086
openssl req -x509 $new_key -subj /CN=ca -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
# shellcheck disable=SC2086
openssl req $new_key -subj /CN=web-1 -keyout "$folder/key.pem" -out "$folder/request" 2>/dev/null
openssl x509 -req -in "$folder/request" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -days 2 -out "$folder/cert.pem" 2>/dev/null

measure() { # NAME PACKAGE
	pkg-config --exists "$2" || return 0
	# shellcheck disable=SC2046
	gcc -O2 -D_GNU_SOURCE "-DUSE_$1" -o "$folder/bench" tls_libraries.c $(pkg-config --cflags --libs "$2")
	"$folder/bench" "$folder" "$connections" "$records"
}

measure OPENSSL openssl
measure GNUTLS gnutls
measure WOLFSSL wolfssl
