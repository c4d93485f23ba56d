/* Distribution functions of what W and the estimates are made of. */
#ifndef VERIFY_LAWS_H
#define VERIFY_LAWS_H

double verify_uniform_cdf(double x, double upper); /* on [0, upper] */
double verify_normal_cdf(double x, double sigma);  /* mean 0 */
double verify_chi2_cdf(double x, double degrees);
double verify_first_squared_cdf(double x, double dim); /* of u_1^2, u uniform on the sphere in d >= 2 dimensions:
                                                          Beta(1/2, (d-1)/2) */

#endif
