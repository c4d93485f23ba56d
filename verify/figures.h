/* Published figures, reproduced through the kernels. */
#ifndef VERIFY_FIGURES_H
#define VERIFY_FIGURES_H

#include "engine.h"

/* Choromanski et al., "Rethinking attention with Performers", ICLR 2021. */
void verify_figure_2(verify_run *run); /* MSE of trig over that of positive features by angle */
void verify_figure_4(verify_run *run); /* output error against m at L = 4096, d = 16 */
/* performer-pytorch's issue 69: L = 24, d = 128, m = 1024. */
void verify_issue_69(verify_run *run);

#endif
