/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog that is in the binary: compressed, and in no memory until somebody asks for it. */
#include <zlib.h>

#include "catalog_shipped.h"
#include "plan/catalog.h"

/* gzip's last four bytes are the length of what was compressed (RFC 1952). */
static size_t inflated_length(void)
{
	const unsigned char *end = catalog_shipped_gz + sizeof(catalog_shipped_gz) - 4;

	return end[0] | (size_t)end[1] << 8 | (size_t)end[2] << 16 | (size_t)end[3] << 24;
}

static char *inflate_all(size_t length)
{
	z_stream stream = {.next_in = (z_const Bytef *)catalog_shipped_gz,
			   .avail_in = sizeof(catalog_shipped_gz)};
	char *text = malloc(length + 1);

	if (!text || inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		abort();
	stream.next_out = (Bytef *)text;
	stream.avail_out = (uInt)length;
	if (inflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	inflateEnd(&stream);
	text[length] = '\0';
	return text;
}

struct catalog *catalog_shipped(void)
{
	size_t length = inflated_length();
	_cleanup_free_ char *text = inflate_all(length);
	struct problems problems = {0};
	struct catalog *catalog = NULL;

	/* A unit test holds that it is whole. */
	if (catalog_read("the catalog that forerun ships", text, length, &catalog, &problems) < 0)
		abort();
	problems_free(&problems);
	return catalog;
}
