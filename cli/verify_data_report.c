/* What was measured of a user's own data, for people and for programs. */
#include "verify_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "message.h"
#include "report.h"
#include "verify_verdict.h"

static const char *class_name(const verify_data_report *r) {
    return r->session->info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu";
}

/* "head 3", or "batch 1, head 3"; in static storage. */
static const char *head_name(const verify_data_report *r, uint64_t head) {
    static char name[64];
    uint64_t batch = head / r->shape->heads, own = head % r->shape->heads;
    if (r->shape->batch > 1)
        snprintf(name, sizeof name, "batch %" PRIu64 ", head %" PRIu64, batch, own);
    else
        snprintf(name, sizeof name, "head %" PRIu64, own);
    return name;
}

/* Without the sign that a NaN may have. */
static double shown(double value) {
    return isnan(value) ? NAN : value;
}

static void print_head(const verify_data_report *r, uint64_t index) {
    const verify_own_head *head = &r->result->heads[index];
    printf("\n%s: mean s %.4g, %.0f effective keys of %" PRIu64 ", output error of mean(V) %.2f\n", head_name(r, index),
           head->mean_s, head->effective_keys, r->shape->n_k, shown(head->mean_value_error));
    printf("    m  kernel error: rms   lost  predicted  measured   output error: predicted  measured   effective "
           "features\n");
    for (int i = 0; i < VERIFY_OWN_SIZES; ++i) {
        const verify_own_point *p = &head->points[i];
        printf("%5u  %17.3g  %3.0f %%  %9.3f  %8.3f   %23.3f  %8.3f   %18.1f\n", p->features, p->kernel_rms,
               100 * p->kernel_lost, p->kernel_predicted, p->kernel_measured, shown(p->output_predicted),
               shown(p->output_measured), p->effective_features);
    }
}

int verify_data_print(const verify_data_report *r) {
    const run_shape *s = r->shape;
    const verify_own_result *result = r->result;
    printf("device: %s (%s class)\nshape: %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 "\nseed: %" PRIu64 "\n",
           r->session->device.name, class_name(r), s->batch, s->heads, s->n, s->d, r->arguments->seed);
    printf("features: positive, orthogonal rows; %d draws of W for what is measured, %d others for what is predicted\n",
           VERIFY_OWN_DRAWS, VERIFY_OWN_DRAWS);
    printf("query rows: %" PRIu64 " of %" PRIu64 " compared with exact attention, %" PRIu64
           " for predicted outputs, %" PRIu64 " for the kernel\n",
           result->rows, s->n, result->samples, result->kernel_rows);
    for (uint64_t h = 0; h < result->head_count; ++h)
        print_head(r, h);
    putchar('\n');
    for (uint64_t h = 0; h < result->head_count; ++h)
        printf("%s: %s\n", head_name(r, h), verdict_of_head(&result->heads[h], s->n, s->n_k).text);
    if (result->head_count > 1)
        printf("overall: %s\n", verdict_of_all(result, s->n, s->n_k).text);
    printf(
        "rules: output error up to %g is enough, up to %g usable; from %g of mean(V)'s error on it is no better than "
        "that\n",
        VERDICT_GOOD, VERDICT_USABLE, VERDICT_MEAN);
    printf("wall_seconds: %.1f\n", r->wall_seconds);
    return cli_flush();
}

static json_t *point_json(const verify_own_point *p) {
    json_t *draws = json_array(), *object = json_object();
    for (int i = 0; i < VERIFY_OWN_DRAWS; ++i)
        json_array_append_new(draws, report_number(p->output_draws[i]));
    json_object_set_new(object, "features", json_integer(p->features));
    json_object_set_new(object, "kernel_rms", report_number(p->kernel_rms));
    json_object_set_new(object, "kernel_lost", report_number(p->kernel_lost));
    json_object_set_new(object, "kernel_predicted", report_number(p->kernel_predicted));
    json_object_set_new(object, "kernel_measured", report_number(p->kernel_measured));
    json_object_set_new(object, "output_predicted", report_number(p->output_predicted));
    json_object_set_new(object, "output_measured", report_number(p->output_measured));
    json_object_set_new(object, "output_draws", draws);
    json_object_set_new(object, "effective_features", report_number(p->effective_features));
    return object;
}

static json_t *features_or_null(uint32_t features) {
    return features ? json_integer(features) : json_null();
}

static void set_verdict(json_t *object, const verdict *v) {
    json_object_set_new(object, "good_from", features_or_null(v->good));
    json_object_set_new(object, "usable_from", features_or_null(v->usable));
    json_object_set_new(object, "sentence", json_string(v->text));
}

static json_t *head_json(const verify_data_report *r, uint64_t index) {
    const verify_own_head *head = &r->result->heads[index];
    verdict v = verdict_of_head(head, r->shape->n, r->shape->n_k);
    json_t *points = json_array(), *object = json_object();
    for (int i = 0; i < VERIFY_OWN_SIZES; ++i)
        json_array_append_new(points, point_json(&head->points[i]));
    json_object_set_new(object, "batch", json_integer((json_int_t)(index / r->shape->heads)));
    json_object_set_new(object, "head", json_integer((json_int_t)(index % r->shape->heads)));
    json_object_set_new(object, "mean_s", report_number(head->mean_s));
    json_object_set_new(object, "effective_keys", report_number(head->effective_keys));
    json_object_set_new(object, "mean_value_error", report_number(head->mean_value_error));
    json_object_set_new(object, "points", points);
    set_verdict(object, &v);
    return object;
}

static json_t *shape_json(const run_shape *s) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "batch", (json_int_t)s->batch, "heads",
                     (json_int_t)s->heads, "heads_kv", (json_int_t)s->heads_kv, "n", (json_int_t)s->n, "n_k",
                     (json_int_t)s->n_k, "d", (json_int_t)s->d, "dv", (json_int_t)s->dv);
}

char *verify_data_json(const verify_data_report *r) {
    const verify_own_result *result = r->result;
    verdict all = verdict_of_all(result, r->shape->n, r->shape->n_k);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, r->arguments->seed);
    json_t *heads = json_array(), *summary = json_object(), *object = json_object();
    for (uint64_t h = 0; h < result->head_count; ++h)
        json_array_append_new(heads, head_json(r, h));
    set_verdict(summary, &all);
    json_object_set_new(object, "schema", json_string("clfavor-verify-data"));
    json_object_set_new(object, "schema_version", json_integer(1));
    json_object_set_new(object, "version", json_string(clfavor_version_string()));
    json_object_set_new(object, "device",
                        json_pack("{s:s, s:s}", "name", r->session->device.name, "class", class_name(r)));
    json_object_set_new(object, "shape", shape_json(r->shape));
    json_object_set_new(object, "causal", json_boolean(r->arguments->causal));
    json_object_set_new(object, "values", json_string(r->arguments->v ? "given" : "random signs"));
    json_object_set_new(object, "seed", json_string(seed));
    json_object_set_new(object, "map", json_string("positive"));
    json_object_set_new(object, "projection", json_string("orthogonal"));
    json_object_set_new(object, "draws", json_integer(VERIFY_OWN_DRAWS));
    json_object_set_new(object, "rows_compared", json_integer((json_int_t)result->rows));
    json_object_set_new(object, "rows_sampled", json_integer((json_int_t)result->samples));
    json_object_set_new(object, "rows_kernel", json_integer((json_int_t)result->kernel_rows));
    json_object_set_new(object, "keys_sampled", json_integer((json_int_t)result->keys));
    json_object_set_new(
        object, "limits",
        json_pack("{s:f, s:f, s:f}", "good", VERDICT_GOOD, "usable", VERDICT_USABLE, "mean_value", VERDICT_MEAN));
    json_object_set_new(object, "heads", heads);
    json_object_set_new(object, "summary", summary);
    json_object_set_new(object, "run", json_pack("{s:o}", "wall_seconds", report_number(r->wall_seconds)));
    char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    return text;
}
