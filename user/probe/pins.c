/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: an agent that starts again adopts the maps and links of the one before, which have gone on
 * counting meanwhile.
 */
#include "probe/private.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PREFIX "forerun-"

/* Pins of another layout, size or build cannot be adopted: their names differ, because all of that
 * is in the name. */
static char *directory_name(const struct probe *probe)
{
	size_t size;
	const void *bytes = forerun__elf_bytes(&size);
	uint64_t settings[] = {hash_bytes(bytes, size), probe->config.listeners_max, probe->stripes,
			       probe->config.connections_max};

	return str_printf(PREFIX "%016llx",
			  (unsigned long long)hash_bytes(settings, sizeof(settings)));
}

static int make_directories(struct probe *probe)
{
	_cleanup_free_ char *name = directory_name(probe);
	struct statfs system;

	if (!name)
		return -ENOMEM;
	if (mkdir(probe->config.pin_path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (statfs(probe->config.pin_path, &system) < 0)
		return -errno;
	if ((unsigned long)system.f_type != BPF_FS_MAGIC)
		return -EMEDIUMTYPE;
	probe->pins = str_printf("%s/%s", probe->config.pin_path, name);
	if (!probe->pins)
		return -ENOMEM;
	return mkdir(probe->pins, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int pins_set(struct probe *probe)
{
	struct bpf_map *map;
	int r;

	if (!probe->config.pin_path)
		return 0;
	r = make_directories(probe);
	if (r == -EMEDIUMTYPE)
		log_error("cannot pin in %s: it is not on a BPF file system; mount -t bpf bpf "
			  "/sys/fs/bpf, and name a directory there",
			  probe->config.pin_path);
	else if (r < 0)
		log_error("cannot make the directory for pins %s: %s",
			  probe->pins ?: probe->config.pin_path, strerror(-r));
	if (r < 0)
		return r;
	bpf_object__for_each_map(map, probe->skel->obj)
	{
		_cleanup_free_ char *path = NULL;

		if (map == probe->skel->maps.rodata)
			continue; /* frozen, and the same for the same name */
		path = str_printf("%s/map-%s", probe->pins,
				  map == probe->skel->maps.bss	  ? "bss"
				  : map == probe->skel->maps.data ? "data"
								  : bpf_map__name(map));
		if (!path || bpf_map__set_pin_path(map, path))
			return -ENOMEM;
	}
	return 0;
}

char *pins_link(const struct probe *probe, const struct bpf_program *program)
{
	return probe->pins ? str_printf("%s/link-%s", probe->pins, bpf_program__name(program))
			   : NULL;
}

static void remove_directory(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		_cleanup_close_ int unused = fd;

		(void)unused;
		return;
	}
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			unlinkat(fd, entry->d_name, 0);
	closedir(directory);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
		log_info("removed the kernel programs that another version or other settings of "
			 "forerun had left in %s",
			 name);
}

void pins_remove_others(const struct probe *probe)
{
	DIR *directory = probe->pins ? opendir(probe->config.pin_path) : NULL;
	const char *own = probe->pins ? strrchr(probe->pins, '/') + 1 : NULL;
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (str_starts(entry->d_name, PREFIX) && !str_equal(entry->d_name, own))
			remove_directory(dirfd(directory), entry->d_name);
	closedir(directory);
}
