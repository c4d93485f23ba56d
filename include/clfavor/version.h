/** @file version.h
 *  The version of these headers. The build reads it from here: this is the only place that states it. */
#ifndef CLFAVOR_VERSION_H
#define CLFAVOR_VERSION_H

/** Changes when programs must change with it; before 1.0 the minor one may. */
#define CLFAVOR_VERSION_MAJOR 0
/** Changes when something is added. */
#define CLFAVOR_VERSION_MINOR 1
/** Changes when something is mended. */
#define CLFAVOR_VERSION_PATCH 0

#endif
