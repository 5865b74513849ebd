/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes quantities (apimachinery, pkg/api/resource/quantity.go and suffix.go). */
#include "documents/documents.h"

#include <ctype.h>
#include <math.h>

#define QUANTITY_TEXT_MAX 128

struct suffix {
	const char *text;
	int base, exponent; /* the number times base to the power of exponent */
};

static const struct suffix SUFFIXES[] = {
	{"", 10, 0},   {"n", 10, -9}, {"u", 10, -6}, {"m", 10, -3}, {"k", 10, 3},  {"M", 10, 6},
	{"G", 10, 9},  {"T", 10, 12}, {"P", 10, 15}, {"E", 10, 18}, {"Ki", 2, 10}, {"Mi", 2, 20},
	{"Gi", 2, 30}, {"Ti", 2, 40}, {"Pi", 2, 50}, {"Ei", 2, 60},
};

/* "e3", "E-3": what follows the number when it is no suffix. */
static bool parse_exponent(const char *text, int *exponent)
{
	const char *digits = text + 1 + (text[1] == '+' || text[1] == '-');

	if ((text[0] != 'e' && text[0] != 'E') || !isdigit((unsigned char)*digits) ||
	    strlen(digits) > 4 || digits[strspn(digits, "0123456789")] != '\0')
		return false;
	*exponent = (int)strtol(text + 1, NULL, 10);
	return true;
}

static bool parse_suffix(const char *text, struct suffix *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(SUFFIXES); i++) {
		if (strcmp(text, SUFFIXES[i].text) == 0) {
			*out = SUFFIXES[i];
			return true;
		}
	}
	*out = (struct suffix){.base = 10};
	return parse_exponent(text, &out->exponent);
}

/* The length of "12", "12.", ".5" or "1.5" with its sign; 0 when there is no digit. */
static size_t number_length(const char *text)
{
	size_t at = text[0] == '-' || text[0] == '+';
	size_t whole = strspn(text + at, "0123456789"), fraction = 0;

	at += whole;
	if (text[at] == '.') {
		fraction = strspn(text + at + 1, "0123456789");
		at += 1 + fraction;
	}
	return whole + fraction ? at : 0;
}

int quantity_parse(const char *text, double *value)
{
	char number[QUANTITY_TEXT_MAX + 16];
	struct suffix suffix;
	double result;
	size_t length;

	if (!text || strlen(text) > QUANTITY_TEXT_MAX)
		return -EINVAL;
	length = number_length(text);
	if (!length || !parse_suffix(text + length, &suffix))
		return -EINVAL;

	/* One conversion from decimal text rounds once: 100m is the same double as 0.1. */
	snprintf(number, sizeof(number), "%.*se%d", (int)length, text,
		 suffix.base == 10 ? suffix.exponent : 0);
	result = strtod(number, NULL);
	if (suffix.base == 2)
		result = ldexp(result, suffix.exponent);
	if (!isfinite(result))
		return -EINVAL;
	*value = result;
	return 0;
}
