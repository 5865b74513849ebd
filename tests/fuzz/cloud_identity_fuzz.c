/* SPDX-License-Identifier: Apache-2.0 */
/* The signed identity document: a text, a NUL, a signature. Nobody has the key of this certificate
 * any more, so only the one document that it signed may hold. */
#include <openssl/x509.h>

#include "cloud/private.h"

static const char CERTIFICATE[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIDATCCAemgAwIBAgIUPvQBoDTzGu6738suybllC8sadpAwDQYJKoZIhvcNAQEL\n"
	"BQAwDzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjQwNjQzMDJaGA8yMTI2MTAzMTA2\n"
	"NDMwMlowDzENMAsGA1UEAwwEZnV6ejCCASIwDQYJKoZIhvcNAQEBBQADggEPADCC\n"
	"AQoCggEBAMG5iUt9PxRPLL3hfROH5TAKQU01D/KEwckfeqnBDWQ9CxRaNrr/cWlO\n"
	"HVEksScCzKn8IUptCZIBTpUO/Ty+FNPEWrNxl6pBJXPBj+htW+nAhVZMZpxv847q\n"
	"1o7j5eCOFcmSE1euOBbjS1bdzNkYd/PDj+FOjrXxr1dSn3VrUy7NAHzzbMVdn2E+\n"
	"V7LMDo9rn0mflgHS+t61WNatIuAR/zQFMsfoOWLeykJgBsRdUlTaGmxM3Jv3VYMQ\n"
	"RvxmNsPhpA3ThKg5wol5apLZBxTQZCfGNoEjMPo8quxq/gEDAJitc83SdldPooh5\n"
	"skq0hR+JdbGTQaX7ZCAPAEcL8Dw8090CAwEAAaNTMFEwHQYDVR0OBBYEFJGKvE8t\n"
	"8fA1or1utVp8IB2r9w/GMB8GA1UdIwQYMBaAFJGKvE8t8fA1or1utVp8IB2r9w/G\n"
	"MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAIGQJ2mbgnAOBlYD\n"
	"NUZdJkdgVpxSaWKTM8fjbpBmIh3oXxPwFdpnNXT3XoynNj18e5rSnNcS1nVoBQdo\n"
	"utIIcx//JcAHt1BIH9uJAuj6K+uFVvCqdgHtsjnHPkiacAkdX2MKR+Du76g1YWP5\n"
	"sZzayJkiEjHaekJmvHAFWv0h5TGzZqP9OYbqQJ77jrmvBDOolO2Zz+CFAEtUEvkJ\n"
	"SqRZnt3aHLRVetGw1NYKrB3z2Q6V2B0Yy78d3gbqx89Fk0rby7evkCOnqyEPTY6P\n"
	"maq6lC7zGo6pGX9mgfEXdtek2wrrWCaCme2J/vnrZTRWqrA1M4oTOy2ykuHDa94M\n"
	"xvIOcfk=\n"
	"-----END CERTIFICATE-----\n";

static const char SIGNED[] = "{\"instanceId\":\"i-0123456789abcdef0\",\"region\":\"eu-west-1\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stack_st_X509 *certificates;
	char instance_id[32], reason[128] = "", *text = malloc(size + 2);
	size_t length;
	int r;

	if (!text)
		abort();
	if (!certificates)
		certificates = certificates_read(CERTIFICATE, sizeof(CERTIFICATE) - 1);
	if (size)
		memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	length = strlen(text);
	r = document_check(text, text + length + 1, certificates, instance_id, reason);
	if (r == 0 && (strncmp(text, SIGNED, strlen(SIGNED)) != 0 ||
		       strspn(text + strlen(SIGNED), "\r\n") != length - strlen(SIGNED)))
		abort();
	if ((r == 0) != (*instance_id != '\0') || (r < 0 && !*reason))
		abort();
	free(text);
	return 0;
}
