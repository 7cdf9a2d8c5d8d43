/* SPDX-License-Identifier: MIT */
/*
 * A small world for testing kinds of objects without a checkpoint: saves the
 * descriptors a test names, closes them, and puts them back, in one process.
 * It stands in for the frozen core and for ckpt_restart.
 */
#ifndef PLUGIN_WORLD_H
#define PLUGIN_WORLD_H

#include <ckpt/plugin.h>

/* Saves these descriptors. 0, or what a saver returned; world_refusal() then
 * says why. */
int world_save(const int *fds, size_t count);
const char *world_refusal(void);
/* Closes them; makes them again, each at its number. 0 or -errno. */
void world_close(void);
int world_restore(void);
/* All that restorers reported, a line each. */
const char *world_reports(void);
/* What the restorer's show() says of the object behind fd. */
const char *world_show(int fd);
void world_forget(void);

/* Kinds without descriptors. */
int world_capture(const struct ckpt_saver *saver);

#endif
