/* A plot as HTML: a figure with title, inline SVG, legend and caption. Colours come from the page's style sheet, so
 * that they follow its scheme: classes s0 .. s6 set the variable --c, and plot_style holds the rest. */
#ifndef VERIFY_PLOT_SVG_H
#define VERIFY_PLOT_SVG_H

#include "verify.h"

#define PLOT_COLOURS 7

/* false: memory is exhausted. Expects a "C" locale. */
bool plot_write(const verify_plot *plot, FILE *to);
/* The same as a file of its own, with style sheet and legend in it. */
bool plot_write_file(const verify_plot *plot, FILE *to);

#endif
