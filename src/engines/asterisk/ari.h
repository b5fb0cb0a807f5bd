/* SPDX-License-Identifier: MIT */
/* The engine `asterisk`: see README.md for what maps to what. Its conf is a struct ari_conf. */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_H
#define VOXBUS_ENGINES_ASTERISK_ARI_H

#include "core/port.h"

extern const struct port_ops ari_engine_ops;

#endif
