#include "common.h"

const char *clfavor_status_name(clfavor_status status) {
    switch (status) {
#define CLFAVOR_STATUS_NAME(value, name, message)                                                                      \
    case CLFAVOR_##name:                                                                                               \
        return "CLFAVOR_" #name;
        CLFAVOR_STATUS_LIST(CLFAVOR_STATUS_NAME)
    }
    return "CLFAVOR_UNKNOWN";
}

const char *clfavor_status_message(clfavor_status status) {
    switch (status) {
#define CLFAVOR_STATUS_MESSAGE(value, name, message)                                                                   \
    case CLFAVOR_##name:                                                                                               \
        return message;
        CLFAVOR_STATUS_LIST(CLFAVOR_STATUS_MESSAGE)
    }
    return "not a status of this library";
}
