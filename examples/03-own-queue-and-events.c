/* Your own queue and events: an out-of-order queue where the device has one, inputs that are written behind a user
 * event, attention that waits for the writes, a read that waits for attention. Nothing of it blocks. */
#include "common.h"

enum { N = 256, D = 32, M = 64, SIZE = N * D };

static cl_command_queue make_queue(const example *e) {
    cl_command_queue_properties properties;
    CHECK_CL(clGetDeviceInfo(e->device, CL_DEVICE_QUEUE_PROPERTIES, sizeof properties, &properties, NULL));
    properties &= CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    cl_int code;
    cl_command_queue queue = clCreateCommandQueue(e->cl, e->device, properties, &code);
    CHECK_CL(code);
    printf("%s queue\n", properties ? "out-of-order" : "in-order");
    return queue;
}

/* The same in double on the host. */
static float *reference(const clfavor_estimator *estimator, float *const inputs[3]) {
    double *memory = calloc(4 * SIZE, sizeof *memory);
    float *o = calloc(SIZE, sizeof *o);
    if (!memory || !o)
        exit(EXIT_FAILURE);
    for (int i = 0; i < 3 * SIZE; ++i)
        memory[i] = (double)inputs[i / SIZE][i % SIZE];
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .n = N,
                                   .dim = D,
                                   .q = memory,
                                   .k = memory + SIZE,
                                   .v = memory + 2 * SIZE,
                                   .o = memory + 3 * SIZE};
    CHECK(clfavor_reference_attention(estimator, &args));
    for (int i = 0; i < SIZE; ++i)
        o[i] = (float)args.o[i];
    free(memory);
    return o;
}

static cl_int status_of(cl_event event) {
    cl_int status;
    CHECK_CL(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL));
    return status;
}

int main(void) {
    example e = example_open();
    cl_command_queue queue = make_queue(&e);
    clfavor_projection *projection;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    clfavor_plan *plan;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = M, .dim = D, .seed = 1};
    CHECK(clfavor_projection_create(&projection, &w));
    clfavor_estimator_desc map = {.struct_size = sizeof map, .map = CLFAVOR_MAP_POSITIVE, .projection = projection};
    CHECK(clfavor_estimator_create(&estimator, &map));
    CHECK(clfavor_weights_create(&weights, e.context, estimator));
    clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .max_n = N};
    CHECK(clfavor_plan_create(&plan, e.context, &desc));

    clfavor_attention_args args = {.struct_size = sizeof args, .weights = weights, .n = N};
    clfavor_tensor *tensors[] = {&args.q, &args.k, &args.v, &args.o};
    for (int t = 0; t < 4; ++t)
        *tensors[t] = clfavor_tensor_dense(example_buffer(&e, SIZE, NULL), 1, N, D);
    args.workspace = example_workspace(&e, plan);

    /* Everything is enqueued before there is any input. */
    cl_int code;
    cl_event gate = clCreateUserEvent(e.cl, &code), written[3], attended, read;
    CHECK_CL(code);
    float *inputs[3] = {example_normal(SIZE, 1, 1), example_normal(SIZE, 2, 1), example_normal(SIZE, 3, 1)};
    float *o = calloc(SIZE, sizeof *o);
    if (!o)
        return EXIT_FAILURE;
    for (int t = 0; t < 3; ++t)
        CHECK_CL(clEnqueueWriteBuffer(queue, tensors[t]->buffer, CL_FALSE, 0, SIZE * sizeof *o, inputs[t], 1, &gate,
                                      &written[t]));
    CHECK(clfavor_enqueue_attention(plan, &args, queue, 3, written, &attended));
    CHECK_CL(clEnqueueReadBuffer(queue, args.o.buffer, CL_FALSE, 0, SIZE * sizeof *o, o, 1, &attended, &read));
    CHECK_CL(clFlush(queue));
    int waited = status_of(attended) > CL_COMPLETE;

    CHECK_CL(clSetUserEventStatus(gate, CL_COMPLETE));
    CHECK_CL(clWaitForEvents(1, &read));
    float *expected = reference(estimator, inputs);
    double error = example_error(o, expected, SIZE);
    printf("attention %s for the gate; relative difference from double: %.1e\n", waited ? "waited" : "did not wait",
           error);

    cl_event events[] = {gate, written[0], written[1], written[2], attended, read};
    for (int i = 0; i < 6; ++i)
        CHECK_CL(clReleaseEvent(events[i]));
    for (int t = 0; t < 4; ++t)
        example_release(tensors[t]->buffer);
    example_release(args.workspace);
    float *arrays[] = {inputs[0], inputs[1], inputs[2], o, expected};
    for (int a = 0; a < 5; ++a)
        free(arrays[a]);
    clfavor_plan_destroy(plan);
    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    CHECK_CL(clReleaseCommandQueue(queue));
    example_close(&e);
    return !(waited && error < 1e-5);
}
