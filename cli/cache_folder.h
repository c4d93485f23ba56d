/* Where the program keeps built programs: $CLFAVOR_CACHE_DIR (0: nowhere), else the user's folder for caches. */
#ifndef CLI_CACHE_FOLDER_H
#define CLI_CACHE_FOLDER_H

#include <stddef.h>

/* NULL: nowhere. The result is in `path` or in the environment. */
const char *cache_folder(char *path, size_t size);

#endif
