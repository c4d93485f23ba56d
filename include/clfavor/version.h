/** @file version.h
 *  The version of these headers. The build reads it from here: this is the only place that states it. */
#ifndef CLFAVOR_VERSION_H
#define CLFAVOR_VERSION_H

#define CLFAVOR_VERSION_MAJOR 0
#define CLFAVOR_VERSION_MINOR 1
#define CLFAVOR_VERSION_PATCH 0

#endif
