// Studies on disk: results to the bit, summaries that follow from the journals, and refusals.
#include "tsdl/io/study_folder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Index;
using Hold = tsdl::StudyFolder::Hold;

const tsdl::StudyIdentity identity{"0123456789abcdef", {{"lr", "0.1"}, {"the space", "x: 1"}}};

tsdl::StudyPlan plan() {
  tsdl::StudyPlan plan;
  for (const char* value : {"a,b", "c"}) plan.trials.push_back({{"name", value}, {"x", "1e-3"}});
  plan.folds = 2;
  plan.blocks = 2;
  return plan;
}

tsdl::UnitResult result_of(const tsdl::StudyUnit& unit) {
  tsdl::RandomStream random(3, static_cast<std::uint64_t>(unit.trial * 2 + unit.fold));
  tsdl::UnitResult result{.unit = unit};
  result.score = random.uniform();
  result.epochs = 4;
  result.best_epoch = 2;
  result.status = "stopped early";
  result.figures = {{"loss", result.score}, {"roc_auc", tsdl::internal::nan_of<double>}};
  for (Index block = 0; block < 2; ++block) {
    std::vector<double> gains;
    for (int i = 0; i < 20; ++i) gains.push_back(random.normal());
    result.gains.emplace_back(block, tsdl::moments_of(gains));
  }
  return result;
}

void write_all(tsdl::StudyFolder& folder, Index workers) {
  folder.open_journals(workers);
  Index next = 0;
  for (Index trial = 0; trial < 2; ++trial)
    for (Index fold = 0; fold < 2; ++fold)
      folder.record(next++ % workers, result_of({trial, 0, fold, 0}));
}

tsdl::Study study_of(const tsdl::StudyFolder& folder) {
  tsdl::Study study(plan());
  for (tsdl::UnitResult& result : folder.read()) study.add(std::move(result));
  return study;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const tsdl::Error& error) {
    return error.what();
  }
  return {};
}
bool has(const std::string& text, const char* part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("results are read back with their bits, from however many journals") {
  const test::TemporaryDirectory directory;
  std::string summary, board;
  for (const Index workers : {1, 2, 4}) {
    const auto path = directory.path() / std::to_string(workers);
    tsdl::StudyFolder folder(path, identity, false, Hold::alone);
    write_all(folder, workers);
    const std::vector<tsdl::UnitResult> results = folder.read();
    REQUIRE(results.size() == 4);
    for (const tsdl::UnitResult& found : results) {
      const tsdl::UnitResult expected = result_of(found.unit);
      CHECK(found.score == expected.score);
      CHECK(found.status == expected.status);
      CHECK(tsdl::is_nan(found.figures[1].second));
      for (std::size_t b = 0; b < 2; ++b) {
        CHECK(found.gains[b].second.mean == expected.gains[b].second.mean);
        CHECK(found.gains[b].second.m4 == expected.gains[b].second.m4);
      }
    }
    const tsdl::Study study = study_of(folder);
    CHECK(study.is_finished());
    folder.write_summary(study, "loss", {7});
    if (summary.empty()) {
      summary = test::read_bytes(path / "summary.json");
      board = test::read_bytes(path / "leaderboard.csv");
    }
    CHECK(test::read_bytes(path / "summary.json") == summary);
    CHECK(test::read_bytes(path / "leaderboard.csv") == board);
  }
  CHECK(has(board, "rank,trial,loss,deviation,epochs,name,x,fold_1,fold_2,mean_gain"));
  CHECK(has(board, "\"a,b\""));
  const auto json = nlohmann::json::parse(summary);
  CHECK(json.at("trials").size() == 2);
  CHECK(json.at("luck").at("trials") == 2);
  CHECK(json.at("trials")[0].at("runs")[1].at("seed") == 7);
  CHECK(json.at("trials")[0].at("runs")[1].at("figures").at("roc_auc") == "NaN");
}

TEST_CASE("results as text are the same results, and other text is refused") {
  const tsdl::UnitResult one = result_of({1, 0, 1, 0});
  const auto all = tsdl::results_from_text(tsdl::results_to_text({one, one}));
  REQUIRE(all.size() == 2);
  CHECK(all[1].score == one.score);
  CHECK(all[1].gains[1].second.m3 == one.gains[1].second.m3);
  CHECK(tsdl::results_from_text("").empty());
  CHECK_THROWS_AS(tsdl::results_from_text("{}\n"), tsdl::FormatError);
  CHECK_THROWS_AS(tsdl::results_from_text("nonsense"), tsdl::FormatError);
}

TEST_CASE("a folder takes one study, one process, and what is resumed") {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "study";
  {
    tsdl::StudyFolder folder(path, identity, true, Hold::alone);  // nothing to resume: it begins
    write_all(folder, 2);
    CHECK(has(refusal([&] { tsdl::StudyFolder(path, identity, true, Hold::alone); }), "in use"));
    tsdl::StudyFolder other(path, identity, true, Hold::shared, "rank-1");
    other.open_journals(1);
    tsdl::StudyFolder same(path, identity, true, Hold::shared, "rank-1");
    CHECK(has(refusal([&] { same.open_journals(1); }), "in use"));
  }
  CHECK(has(refusal([&] { tsdl::StudyFolder(path, identity, false, Hold::alone); }),
            "holds results of this study already"));
  tsdl::StudyIdentity changed = identity;
  changed.fingerprint = "fedcba9876543210";
  changed.options[0].second = "0.2";
  CHECK(has(refusal([&] { tsdl::StudyFolder(path, changed, true, Hold::alone); }),
            "another study: lr was 0.1, and is 0.2; nothing was changed"));
  changed.options[0].second = "0.1";
  CHECK(has(refusal([&] { tsdl::StudyFolder(path, changed, true, Hold::alone); }),
            "another study: its data differ"));
  tsdl::StudyFolder again(path, identity, true, Hold::alone);
  CHECK(study_of(again).is_finished());
}

TEST_CASE("lines and files that are not the study's own are refused with their place") {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "study";
  {
    tsdl::StudyFolder folder(path, identity, false, Hold::alone);
    write_all(folder, 1);
  }
  const std::string good = test::read_bytes(path / "journal-w0.jsonl");
  {
    tsdl::StudyIdentity other = identity;
    other.fingerprint = "ffffffffffffffff";
    tsdl::StudyFolder folder(directory.path() / "other", other, false, Hold::alone);
    write_all(folder, 1);
  }
  const tsdl::StudyFolder folder(path, identity, true, Hold::alone);
  std::filesystem::copy(directory.path() / "other" / "journal-w0.jsonl", path / "journal-w9.jsonl");
  CHECK(has(refusal([&] { folder.read(); }), "journal-w9.jsonl:1: a result of another study"));
  std::filesystem::remove(path / "journal-w9.jsonl");

  std::string bad = good;
  bad[bad.find("\"score\":") + 10] ^= 1;
  test::write_bytes(path / "journal-w0.jsonl", bad);
  CHECK(has(refusal([&] { folder.read(); }), "journal-w0.jsonl:1: damaged"));
  test::write_bytes(path / "journal-w0.jsonl", good.substr(0, good.size() - 30));  // a kill
  CHECK(folder.read().size() == 3);

  std::filesystem::remove(path / "study.json");
  CHECK(has(refusal([&] { tsdl::StudyFolder(path, identity, true, Hold::shared); }),
            "no study.json"));
  test::write_bytes(path / "study.json", "{");
  CHECK(has(refusal([&] { tsdl::StudyFolder(path, identity, true, Hold::shared); }), "study.json"));
}
