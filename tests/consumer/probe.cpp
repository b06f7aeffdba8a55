// The least that shows a package to be whole: our headers, Eigen's and xsimd's are found.
#include <cstdio>
#include <tsdl/kernels/simd.hpp>

int main() {
  const tsdl::Matrix<float> four = tsdl::Matrix<float>::Constant(1, 1, 4.0f);
  const tsdl::kernels::Vec<float> eight(2 * four(0, 0));
  std::printf("tsdl %s %g\n", tsdl::version, static_cast<double>(eight.get(0)));
  return 0;
}
