/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FORERUN_CMD_CHECK_H
#define FORERUN_CMD_CHECK_H

#include "cloud/cloud.h"
#include "cmd/cmd.h"

#define CHECK_WAIT_NS (60 * NS_PER_S)

/* Of a client that only asks. */
struct cloud_events cloud_events_none(void);
/* Asks AWS everything that can be asked of the documents without launching. status is filled where
 * the client could be made. -EINVAL when there are problems. */
int check_cloud(const struct options *options, const struct documents *documents,
		struct problems *problems, struct cloud_status *status);

#endif
