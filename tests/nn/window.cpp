// Windows of a live series: the last rows run again, and states that are carried, against forward.
#include "tsdl/nn/window.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <type_traits>

#include "support/network.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;

constexpr Index I = 3, rows = 29;

template <class Model>
Model drawn(tsdl::Pooling pooling) {
  Model model(
      {.input_size = I, .hidden_size = 9, .num_layers = 2, .pooling = pooling, .outputs = 2}, 3);
  tsdl::RandomStream random(4);
  test::draw_parameters(model, random, 0.6);
  return model;
}

template <class Scalar>
std::vector<Scalar> series() {
  tsdl::RandomStream random(8);
  return test::draw<Scalar>(random, rows * I);
}

/// What forward gives at the last step of rows first ... first + count - 1.
template <class Model>
std::vector<typename Model::Scalar> forwarded(const Model& model, Index first, Index count) {
  const auto x = series<typename Model::Scalar>();
  typename Model::Cache cache;
  const auto outputs = model.forward(
      tsdl::Sequence<const typename Model::Scalar>::dense(x.data() + first * I, I, count, 1),
      cache);
  const auto last = outputs.rightCols(1);
  return {last.data(), last.data() + last.rows()};
}

/// Pushes every row, and counts the runs whose bits are not forward's of the last T rows. Half way
/// it goes on as a copy, and as another whose state was read.
template <class Window, class Model>
Index wrong_windows(const Model& model, Index T) {
  using Scalar = typename Model::Scalar;
  const auto x = series<Scalar>();
  Window window(model, T);
  std::vector<std::byte> bytes;
  Index wrong = 0;
  for (Index row = 0; row < rows; ++row) {
    if (row == T + 3) {
      Window copy(model, T + 1);  // of another length, and elsewhere
      copy.push(model, x.data());
      copy = window;
      const auto same = copy.run(model), own = window.run(model);
      wrong += !std::equal(same.begin(), same.end(), own.begin(), own.end());
      window = copy;
    }
    if (row == T + 5) {
      tsdl::StateBytes writer(bytes);
      window.state(writer);
      Window other(model, T);
      tsdl::StateBytes reader{std::span<const std::byte>(bytes)};
      other.state(reader);
      CHECK(reader.is_complete());
      other.restore(model);
      window = std::move(other);
    }
    window.push(model, x.data() + row * I);
    if (row + 1 < T) continue;
    const auto outputs = window.run(model);
    wrong +=
        std::vector<Scalar>(outputs.begin(), outputs.end()) != forwarded(model, row + 1 - T, T);
  }
  return wrong;
}

}  // namespace

TEST_CASE_TEMPLATE("window: a model's own, and one that is run again, have the bits of forward",
                   Model, tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>,
                   tsdl::BiLSTMClassifier<double>, tsdl::BiGRUClassifier<float>) {
  using Any = tsdl::AnyModel<typename Model::Scalar>;
  static_assert(!std::is_same_v<tsdl::WindowOf<Model>, tsdl::RerunWindow<Model>>);
  for (const tsdl::Pooling pooling : tsdl::poolings) {
    if (pooling == tsdl::Pooling::each && Model::kind().starts_with("bi")) continue;
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = drawn<Model>(pooling);
    const Any any(model);
    for (const Index T : {1, 2, 7}) {
      CHECK(wrong_windows<tsdl::WindowOf<Model>>(model, T) == 0);
      CHECK(wrong_windows<tsdl::RerunWindow<Model>>(model, T) == 0);
      CHECK(wrong_windows<tsdl::WindowOf<Any>>(any, T) == 0);
    }
  }
  const auto model = drawn<Model>(tsdl::Pooling::last);
  CHECK_THROWS_AS(tsdl::RerunWindow<Model>(model, 0), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::WindowOf<Model>(model, 0), tsdl::ShapeError);
}

TEST_CASE_TEMPLATE("window: a state that is carried has the bits of all rows so far", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>) {
  using Scalar = typename Model::Scalar;
  using Any = tsdl::AnyModel<Scalar>;
  const auto x = series<Scalar>();
  for (const tsdl::Pooling pooling : tsdl::poolings) {
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = drawn<Model>(pooling);
    const Any any(model);
    tsdl::CarriedOf<Model> own(model);
    tsdl::CarriedOf<Any> held(any);
    Index wrong = 0;
    for (int round = 0; round < 2; ++round) {
      for (Index row = 0; row < rows; ++row) {
        if (row == 11) {  // others go on from their states
          std::vector<std::byte> bytes;
          tsdl::StateBytes writer(bytes);
          own.state(writer);
          held.state(writer);
          own = tsdl::CarriedOf<Model>(model);
          held = tsdl::CarriedOf<Any>(any);
          tsdl::StateBytes reader{std::span<const std::byte>(bytes)};
          own.state(reader);
          held.state(reader);
          CHECK(reader.is_complete());
        }
        const auto expected = forwarded(model, 0, row + 1);
        const auto a = own.push(model, x.data() + row * I), b = held.push(any, x.data() + row * I);
        wrong += std::vector<Scalar>(a.begin(), a.end()) != expected;
        wrong += std::vector<Scalar>(b.begin(), b.end()) != expected;
      }
      own.reset();
      held.reset();
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("window: a model that reads both ways carries no state, and says so") {
  const auto model = drawn<tsdl::BiLSTMClassifier<float>>(tsdl::Pooling::last);
  CHECK_THROWS_WITH_AS(tsdl::CarriedOf<tsdl::BiLSTMClassifier<float>>{model},
                       "LSTM stream: a bidirectional network cannot be streamed", tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::CarriedOf<tsdl::AnyModel<float>>(tsdl::AnyModel<float>(model)),
                  tsdl::ShapeError);
}
