/* SPDX-License-Identifier: Apache-2.0 */
/* AWS' XML answers, read with expat as a stream of elements that ended. */
#ifndef FORERUN_CLOUD_XML_H
#define FORERUN_CLOUD_XML_H

#include "base/base.h"

#define XML_NAME_SIZE 64

/* path: the local names below the root, "fleetInstanceSet/item/instanceIds/item"; text: what stood
 * directly inside, "" or white space for an element that holds others. */
typedef void (*xml_fn)(void *arg, const char *path, const char *text);

/*
 * Calls fn (NULL: only checks) for every element below the root when it ends, so an item's own end
 * follows those of all it holds. Namespaces are dropped. root gets the root's local name.
 * -EBADMSG: not well-formed, cut, a document type, nested over 32 levels, a text over 64 KiB.
 */
int xml_read(const char *body, size_t length, xml_fn fn, void *arg, char root[XML_NAME_SIZE]);

#endif
