/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/listen.h"

static void addresses_are_split_as_users_write_them(void **state)
{
	static const struct {
		const char *address;
		uint16_t otherwise;
		const char *host; /* NULL: not such an address */
		uint16_t port;
	} cases[] = {
		{"core.example:81", 9911, "core.example", 81},
		{"core.example", 9911, "core.example", 9911},
		{"core.example", 0, NULL, 0},
		{"10.0.0.1:0", 0, "10.0.0.1", 0},
		{"[::1]:81", 0, "::1", 81},
		{"[fe80::1%eth0]", 9911, "fe80::1%eth0", 9911},
		{"[::1]", 0, NULL, 0},
		{"::1", 9911, NULL, 0},
		{":81", 0, "", 81},
		{"host:", 9911, NULL, 0},
		{"host:65536", 9911, NULL, 0},
		{"host:-1", 9911, NULL, 0},
		{"a:b:81", 9911, NULL, 0},
		{"", 0, NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char host[ADDRESS_HOST_SIZE];
		uint16_t port;
		int r = address_split(cases[i].address, cases[i].otherwise, host, &port);

		if ((r == 0) != (cases[i].host != NULL))
			fail_msg("%s gives %d", cases[i].address, r);
		if (r < 0)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
}

static void a_name_that_is_too_long_is_none(void **state)
{
	char address[ADDRESS_HOST_SIZE + 8], host[ADDRESS_HOST_SIZE];
	uint16_t port;

	(void)state;
	memset(address, 'a', sizeof(address));
	memcpy(address + ADDRESS_HOST_SIZE, ":80", 4);
	assert_int_equal(address_split(address, 0, host, &port), -EINVAL);
	assert_int_equal(address_split(address + 1, 0, host, &port), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_split_as_users_write_them),
		cmocka_unit_test(a_name_that_is_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
