/* log, sin and cos with the same bits on every machine. libm's differ between versions and between processors (glibc
 * picks FMA variants at run time), so these use nothing but + - * / in double, which IEEE 754 defines to the last bit.
 * That holds in the default rounding mode, without contraction and without excess precision; a file that must have the
 * same bits everywhere includes this header, which refuses to compile otherwise as far as a compiler tells. */
#ifndef CLFAVOR_DETMATH_H
#define CLFAVOR_DETMATH_H

#include <float.h>

#ifdef __FAST_MATH__
#error "projections must have the same bits everywhere: compile without -ffast-math"
#endif
#if FLT_EVAL_METHOD < 0 || FLT_EVAL_METHOD == 2
#error "double must be evaluated as double: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* gcc ignores it: the build passes -ffp-contract=off */
#endif

/* Natural logarithm of a normal x > 0; relative error at most 3.5 x 2^-53, and log 1 = 0. */
double clfavor_det_log(double x);

/* sin and cos of 2 pi u for u in [0, 1); relative error at most 3.5 x 2^-53 each (0 where the true value is 0). */
void clfavor_det_sincos_turn(double u, double *sine, double *cosine);

#endif
