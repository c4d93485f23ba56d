/** @file export.h
 *  What a public function is marked with. Define CLFAVOR_STATIC to use a static library (the CMake package and
 *  pkg-config do it for you). */
#ifndef CLFAVOR_EXPORT_H
#define CLFAVOR_EXPORT_H

#if defined(CLFAVOR_STATIC)
#define CLFAVOR_API
#elif defined(_WIN32) && defined(CLFAVOR_BUILDING)
#define CLFAVOR_API __declspec(dllexport)
#elif defined(_WIN32)
#define CLFAVOR_API __declspec(dllimport)
#elif defined(__GNUC__)
#define CLFAVOR_API __attribute__((visibility("default")))
#else
#define CLFAVOR_API
#endif

#endif
