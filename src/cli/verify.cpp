#include "cli/verify.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "rulegrad/prove/verify.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/version.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

/// 64-bit FNV-1a.
class Digest {
 public:
  void add(std::string_view text) {
    for (const char c : text) step(static_cast<unsigned char>(c));
    step(0);
  }
  /// Which file it is and when it was last changed in any way, its name and times included, which copies and
  /// archives set back: reading a large one again would cost what the cache saves.
  void add_file(const fs::path& path) {
    std::error_code none;
    add(fs::weakly_canonical(path, none).string());
    struct ::stat state = {};
    if (::stat(path.c_str(), &state) != 0) return add("missing");
    add(fmt::format("{} {} {} {}.{} {}.{}", state.st_dev, state.st_ino, state.st_size, state.st_mtim.tv_sec,
                    state.st_mtim.tv_nsec, state.st_ctim.tv_sec, state.st_ctim.tv_nsec));
  }
  [[nodiscard]] std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  void step(unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001b3; }
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

/// Where proofs are remembered, or nothing.
fs::path proofs() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && fs::path(cache).is_absolute()) return fs::path(cache) / "rulegrad" / "canonizers";
  if (home != nullptr && *home != 0) return fs::path(home) / ".cache" / "rulegrad" / "canonizers";
  return {};
}

std::string key_of(const ModelOptions& options, const Model& model, const RuleLibrary& library,
                   const Analysis& analysis) {
  Digest digest;
  digest.add(version());
  for (const std::string& file : model.files()) digest.add_file(file);
  digest.add(options.dtype);
  for (const std::string& plugin : options.plugins) digest.add_file(plugin);
  for (const std::string& file : library.files()) digest.add_file(file);
  const std::vector<std::string> sets = library.rule_set_names();
  std::string last;
  for (const ForwardRewrite& rewrite : analysis.rewrites) {
    digest.add(fmt::format("{} {}:{}:{} {} {}", rewrite.rule_set, rewrite.where.file, rewrite.where.line,
                           rewrite.where.column, describe(rewrite.before), describe(rewrite.after)));
    if (rewrite.rule_set != last && std::find(sets.begin(), sets.end(), rewrite.rule_set) != sets.end())
      digest.add(print(library.rule_set(rewrite.rule_set)));
    last = rewrite.rule_set;
  }
  return digest.text();
}

void remember(const fs::path& folder, const std::string& key, const CanonizerProof& proof) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return;
  const fs::path draft = folder / fmt::format("{}.{}", key, ::getpid());
  {
    std::ofstream file(draft, std::ios::binary);
    file << fmt::format("{} rewrites, difference {:.3g} of {:.3g}\n", proof.rewrites, proof.difference,
                        proof.largest);
    if (!file.flush()) failed = std::make_error_code(std::errc::io_error);
  }
  if (!failed) fs::rename(draft, folder / key, failed);
  if (failed) fs::remove(draft, failed);
}

}  // namespace

void add_verify_option(CLI::App& command, bool& verify) {
  command.add_flag("--verify", verify,
                   "Prove again that the method's canonizers leave the output as it is, and say by how much "
                   "they change it");
}

void verify_canonizers(const ModelOptions& options, const Model& model, const RuleLibrary& library,
                       const std::string& method, Expr output, const Analysis& analysis, bool force) {
  if (analysis.rewrites.empty()) {
    if (force) fmt::print(stderr, "{}: no canonizer changes this model\n", method);
    return;
  }
  const fs::path folder = proofs();
  const std::string key = key_of(options, model, library, analysis);
  std::error_code none;
  if (!force && !folder.empty() && fs::exists(folder / key, none)) return;
  const CanonizerProof proof = prove_canonizers(output, analysis, {.kernels = options.kernels()});
  if (force)
    fmt::print(stderr,
               "{}: {} rewrite{} by canonizers change the output by {:.3g} at most, where it is as large as "
               "{:.3g}\n",
               method, proof.rewrites, proof.rewrites == 1 ? "" : "s", proof.difference, proof.largest);
  if (!folder.empty()) remember(folder, key, proof);
}

void add_verify_numbers_option(CLI::App& command, bool& verify) {
  command.add_flag("--verify-numbers", verify,
                   "Compute some samples again on the plain float64 path, and say how far each method is "
                   "off; an error beyond what rounding explains");
}

}  // namespace rulegrad::cli
