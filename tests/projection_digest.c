/* Prints a digest of many projections: FNV-1a over the bit patterns of W and the phases, low byte first. One line a
 * kind and dimension, so that a difference tells where it is. Built by test_projection_bits.sh in several ways. */
#include <clfavor/clfavor.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t digest(uint64_t hash, const double *values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int byte = 0; byte < 8; ++byte)
            hash = (hash ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3u;
    }
    return hash;
}

int main(void) {
    static const uint32_t shapes[][2] = {{1, 5},    {2, 9},   {3, 100},  {5, 13},   {8, 64},    {16, 96},  {31, 70},
                                         {32, 256}, {60, 70}, {64, 256}, {96, 100}, {128, 256}, {255, 40}, {256, 300}};
    static const char *names[] = {"orthogonal", "iid", "orthogonal-fixed-norm", NULL, "orthogonal-pairs", "simplex"};
    for (int kind = 0; kind < 6; ++kind)
        for (size_t s = 0; names[kind] && s < sizeof shapes / sizeof *shapes; ++s) {
            const uint32_t d = shapes[s][0], m = shapes[s][1];
            uint64_t hash = 0xcbf29ce484222325u;
            for (uint64_t seed = 0; seed < 4; ++seed) {
                const clfavor_projection_desc desc = {sizeof desc, (clfavor_projection_kind)kind, m, d,
                                                      2,           seed * 0x9e3779b97f4a7c15u};
                clfavor_projection *projection;
                if (clfavor_projection_create(&projection, &desc))
                    return 1;
                hash = digest(hash, clfavor_projection_data(projection), (size_t)2 * m * d);
                hash = digest(hash, clfavor_projection_phases(projection), (size_t)2 * m);
                clfavor_projection_destroy(projection);
            }
            printf("%s d=%" PRIu32 " m=%" PRIu32 " %016" PRIx64 "\n", names[kind], d, m, hash);
        }
    return 0;
}
