// Ensembles from files: members of one recipe, and what is refused of others.
#include "tsdl/io/ensemble.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <vector>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"
#include "tsdl/train/predict.hpp"

namespace {

using tsdl::OptionError;
using Paths = std::vector<std::filesystem::path>;

}  // namespace

TEST_CASE("ensemble files: members of one recipe become one model, others are named") {
  const test::TemporaryDirectory directory;
  const auto data = test::small_data();
  const auto options = test::small_options();
  const auto write = [&](const std::string& name, const char* kind, const tsdl::Recipe& recipe,
                         std::uint64_t seed) {
    auto path = directory / name;
    tsdl::save_model(path, tsdl::make_classifier<float>(kind, options, seed), recipe, seed);
    return path;
  };
  const auto a = write("a.safetensors", "bilstm", data.recipe, 3);
  const auto b = write("b.safetensors", "gru", data.recipe, 4);
  const auto both = tsdl::load_ensemble<float>({a, b}, {3, 1});
  CHECK(both.seed == 3);
  CHECK((both.model.weights() == std::vector<double>{0.75, 0.25}));
  const tsdl::Matrix<double> mean =
      0.75 * tsdl::predict(tsdl::load_any_model<float>(a).model, data.validation) +
      0.25 * tsdl::predict(tsdl::load_any_model<float>(b).model, data.validation);
  CHECK((tsdl::predict(both.model, data.validation) - mean).cwiseAbs().maxCoeff() <= 1e-7);

  tsdl::Recipe other = data.recipe;
  other.length = 9;
  const auto c = write("c.safetensors", "gru", other, 5);
  CHECK(test::message_of<OptionError>([&] {
          tsdl::load_ensemble<float>({a, b, c});
        }) ==
        "ensemble: the recipe of " + c.string() + " is another than that of " + a.string() +
            ": 'length' differs; members read the same columns, scaled alike, in windows of one "
            "length, and have the same targets");
  // The same columns, scaled by other rows.
  other = test::small_data(tsdl::DirectionLabel{.horizon = 4}).recipe;
  const auto d = write("d.safetensors", "gru", other, 5);
  CHECK_THROWS_AS(tsdl::load_ensemble<float>({a, d}), OptionError);
  CHECK_THROWS_AS(tsdl::load_ensemble<float>(Paths{}), OptionError);
  CHECK_THROWS_AS(tsdl::load_ensemble<float>({a, directory / "none.safetensors"}), tsdl::Error);
}
