// Plain Eigen as a contestant: what one writes who knows recurrent networks and Eigen, and no more.
// Nothing of ours is allocated after the first call, though Eigen does so inside its products.
// Streaming has its sizes at compile time.
#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "contest.hpp"
#include "eigen_network.hpp"
#include "eigen_transformer.hpp"

namespace {

using Eigen::MatrixXf;
using peers::Index, peers::Job, peers::Kind, peers::Work;
using peers::plain_eigen::ConstMap, peers::plain_eigen::Recurrent, peers::plain_eigen::RowMajor,
    peers::plain_eigen::Transformer;

template <class Model>
class NetworkJob : public Job {
 public:
  explicit NetworkJob(const Work& work)
      : work_(work),
        network_(work),
        windows_(Model::input(work)),
        labels_(peers::labels(work.network, work.batch)) {}

  void call() override {
    const ConstMap x(windows_.data(), work_.network.inputs, work_.network.steps * work_.batch);
    network_.forward(x, work_.kind == Kind::train);
    if (work_.kind != Kind::train) return;
    loss_ = peers::loss(network_.logits.data(), labels_, work_.network.outputs,
                        network_.dlogits.data());
    network_.backward(x);
    norm_ = network_.parameters.update(work_.learning_rate());
  }

  std::vector<double> result() override {
    if (work_.kind == Kind::train) return {loss_, norm_};
    return {network_.logits.data(), network_.logits.data() + network_.logits.size()};
  }

 private:
  Work work_;
  Model network_;
  std::vector<float> windows_;
  std::vector<int> labels_;
  double loss_ = 0, norm_ = 0;
};

/// One layer, one step a call, sizes known. [U W] times (h, x) goes by blocks of 64 rows, with two
/// sums that do not wait for each other: as fast as Eigen's own product or faster, at every H. h is
/// first in its vector, where it is aligned: elsewhere Eigen takes tanh one by one.
template <int H>
class Stream : public Job {
 public:
  explicit Stream(const Work& work) : series_(peers::series(work.network, peers::stream_columns)) {
    const auto given = peers::tensors(work.network);
    weights_.resize(4 * H, H + I);
    weights_ << Eigen::Map<const RowMajor>(given[1].values.data(), 4 * H, H),
        Eigen::Map<const RowMajor>(given[0].values.data(), 4 * H, I);
    bias_ = Gates::Map(given[2].values.data()) + Gates::Map(given[3].values.data());
    input_.setZero();
    c_.setZero();
  }

  void call() override {
    input_.template tail<I>() = Eigen::Matrix<float, I, 1>::Map(series_.data() + next_ * I);
    next_ = (next_ + 1) % peers::stream_columns;
    Gates a = product();
    a.template head<2 * H>() = a.template head<2 * H>().array().logistic();
    const auto g = a.template segment<H>(2 * H).array().tanh();
    const auto o = a.template tail<H>().array().logistic();
    c_ = a.template segment<H>(H).array() * c_ + a.template head<H>().array() * g;
    input_.template head<H>() = o * c_.tanh();
  }

  std::vector<double> result() override { return {input_.data(), input_.data() + H}; }

 private:
  static constexpr int I = 23;
  static constexpr int block = std::min(4 * H, 64);
  using Gates = Eigen::Matrix<float, 4 * H, 1>;
  using Block = Eigen::Matrix<float, block, 1>;

  Gates product() const {
    const Eigen::Map<const Eigen::Matrix<float, 4 * H, H + I>, Eigen::AlignedMax> weights(
        weights_.data());
    Gates a;
    for (int row = 0; row < 4 * H; row += block) {
      const auto column = [&](int k) { return weights.template block<block, 1>(row, k); };
      Block even = bias_.template segment<block>(row), odd = Block::Zero();
      int k = 0;
      for (; k + 2 <= H + I; k += 2) {
        even += column(k) * input_[k];
        odd += column(k + 1) * input_[k + 1];
      }
      if (k < H + I) even += column(k) * input_[k];
      a.template segment<block>(row) = even + odd;
    }
    return a;
  }

  MatrixXf weights_;
  Gates bias_;
  Eigen::Matrix<float, H + I, 1> input_;
  Eigen::Array<float, H, 1> c_;
  std::vector<float> series_;
  Index next_ = 0;
};

std::unique_ptr<Job> make(const Work& work) {
  if (work.dense) return nullptr;
  if (work.network.transformer()) return std::make_unique<NetworkJob<Transformer>>(work);
  if (work.kind != Kind::stream) return std::make_unique<NetworkJob<Recurrent>>(work);
  switch (work.network.hidden) {
    case 8:
      return std::make_unique<Stream<8>>(work);
    case 16:
      return std::make_unique<Stream<16>>(work);
    case 32:
      return std::make_unique<Stream<32>>(work);
    case 64:
      return std::make_unique<Stream<64>>(work);
    case 128:
      return std::make_unique<Stream<128>>(work);
    default:
      return nullptr;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string version = std::to_string(EIGEN_WORLD_VERSION) + '.' +
                              std::to_string(EIGEN_MAJOR_VERSION) + '.' +
                              std::to_string(EIGEN_MINOR_VERSION);
  const auto set_threads = [](int threads) {
    peers::plain_eigen::thread_count = threads;
    omp_set_num_threads(threads);
  };
  return peers::serve(argc, argv,
                      {.about = "Eigen " + version,
                       .start = [] { Eigen::setNbThreads(1); },
                       .set_threads = set_threads,
                       .make = make});
}
