#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "device_info.h"
#include "message.h"
#include "options.h"
#include "report.h"

int cmd_devices(int argc, char **argv) {
    options o;
    int status = options_parse(&o, COMMAND_DEVICES, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    device_entry *devices;
    size_t count, chosen = 0;
    status = device_list(&devices, &count);
    if (status)
        return status;
    const session_request request = {.device_class = o.device_class, .tuning = o.tuning};
    char why[DEVICE_TEXT];
    status = device_choose(devices, count, NULL, &chosen, why);
    bool any = status == CLI_OK;

    json_t *list = json_array();
    int opened = CLI_OK;
    for (size_t i = 0; i < count && opened != CLI_USAGE; ++i) {
        json_t *device = device_describe(&devices[i], &request, &opened);
        json_object_set_new(device, "chosen", json_boolean(any && i == chosen));
        if (any && i == chosen)
            json_object_set_new(device, "chosen_reason", json_string(why));
        json_array_append_new(list, device);
    }
    free(devices);
    if (opened == CLI_USAGE) { /* the tuning rows are bad, and that was said */
        json_decref(list);
        return opened;
    }
    int printed;
    if (o.json) {
        printed = report_print(json_pack("{s:o}", "devices", list), true);
    } else {
        for (size_t i = 0; i < count; ++i) {
            json_t *device = json_array_get(list, i);
            printf("%s %s\n", json_string_value(json_object_get(device, "index")),
                   json_string_value(json_object_get(device, "name")));
            report_lines(device, "    ", "");
        }
        json_decref(list);
        printed = report_print(json_object(), false); /* flushes */
    }
    return status ? status : printed;
}
