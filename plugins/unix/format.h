/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_UNIX_FORMAT_H
#define PLUGINS_UNIX_FORMAT_H

#define UNIX_VERSION 1

#endif
