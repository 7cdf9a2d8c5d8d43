/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_UNIXSOCK_FORMAT_H
#define PLUGINS_UNIXSOCK_FORMAT_H

#define UNIXSOCK_VERSION 1

#endif
