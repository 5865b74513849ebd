/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every room uses: errors, cleanup, time, strings.
 *
 * Functions that can fail return 0 (or a count) or a negative errno. Times are nanoseconds of
 * CLOCK_MONOTONIC unless the name says wall, which is nanoseconds since 1970 (CLOCK_REALTIME).
 */
#ifndef FORERUN_BASE_BASE_H
#define FORERUN_BASE_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CLAMP(v, low, high) MIN(MAX(v, low), high)

/* The scope owns the variable: the function runs on it when the scope ends. */
#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_ _cleanup_(free_pointer)
#define _cleanup_close_ _cleanup_(close_descriptor)
#define _cleanup_file_ _cleanup_(close_file)

/* Hands the value over and leaves nothing behind for the cleanup. */
#define TAKE(pointer)                                   \
	({                                              \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})

#define _printf_(text_at, first_at) __attribute__((__format__(__printf__, text_at, first_at)))

void free_pointer(void *pointer_to_pointer);
void close_descriptor(int *fd); /* leaves errno alone; -1 is nothing */
void close_file(FILE **file);

/* A moment, on both clocks at once. Who decides is handed one and does not ask for it. */
struct moment {
	uint64_t mono_ns;
	uint64_t wall_ns;
};

uint64_t time_mono_ns(void);
uint64_t time_wall_ns(void);
struct moment time_now(void);

/* RFC 3339 in UTC with milliseconds, "2026-11-23T00:00:00.000Z": 24 characters and the end. */
#define TIME_TEXT_SIZE 25
void time_format(uint64_t wall_ns, char out[TIME_TEXT_SIZE]);
/* Parses RFC 3339 ("Z" or an offset, any fraction). -EINVAL when it is none. */
int time_parse(const char *text, uint64_t *wall_ns);

/* strdup and asprintf that return NULL only when memory is out. */
char *str_printf(const char *format, ...) _printf_(1, 2);
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
static inline bool str_equal(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* The bytes of the well-formed UTF-8 character (RFC 3629) that the text starts with, 0 if there is
 * none. */
size_t utf8_length(const char *text, size_t length);

/* A whole decimal number, nothing around it. -EINVAL: it is none, -ERANGE: it does not fit. */
int parse_u64(const char *text, uint64_t *value);
int parse_double(const char *text, double *value);
/* "100ms", "3s", "2m", "1h30m" as Go writes durations. -EINVAL when it is none. */
int parse_duration_ns(const char *text, uint64_t *ns);

/* The whole file as a NUL-terminated string (length without the NUL, may be NULL). -EFBIG above
 * limit bytes. */
int file_read(const char *path, size_t limit, char **text, size_t *length);
/* Written beside, synced and renamed over, so that a reader sees the old or the new whole. */
int file_write_atomic(const char *path, const void *data, size_t length, unsigned mode);

/* CRC-32 (IEEE 802.3, as zlib has it). */
uint32_t crc32_of(const void *data, size_t length);
/* FNV-1a, 64 bits: for hash tables and names, not against an adversary. */
uint64_t hash_bytes(const void *data, size_t length);
uint64_t hash_text(const char *text);

#endif
