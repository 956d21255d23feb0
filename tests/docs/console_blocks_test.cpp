// What the documentation shows is what the command does: every ```console block is run, and generated pages
// are fresh.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "rulegrad/explain/method_page.hpp"
#include "rulegrad/recipe/rule_library.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::CommandResult;
using testing::read_text;
using testing::ScratchDirectory;

namespace {

namespace fs = std::filesystem;

/// A directory that holds the shipped files under the names that the documentation uses, where commands may
/// also write.
class Workplace {
 public:
  Workplace() {
    for (const char* name : {"examples", "rules", "docs"})
      fs::create_directory_symlink(source_root() / name, scratch_.path() / name);
  }

  [[nodiscard]] CommandResult run(const std::string& command) const {
    const std::string path = fs::path(rulegrad_command()).parent_path().string() + ":" +
                             fs::path(train_program()).parent_path().string();
    const std::string script = "cd '" + scratch_.path().string() + "' && export PATH='" + path +
                               "':\"$PATH\" COLUMNS=160 && { " + command + "\n} >'" + scratch_.file("out") +
                               "' 2>&1 </dev/null";
    const int status = std::system(("bash -c " + quoted(script)).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(scratch_.file("out")), ""};
  }

 private:
  static std::string quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + "'";
  }

  ScratchDirectory scratch_;
};

struct Shown {
  int line;
  std::string command, output;
};

/// The commands of a page's console blocks with what is shown below each. A line that ends in a backslash
/// goes on, and so do lines that begin with `>`, the shell's own sign for that.
std::vector<Shown> shown_commands(const fs::path& page) {
  std::vector<Shown> result;
  std::istringstream lines(read_text(page));
  bool inside = false, continued = false;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line == "```console") {
      inside = true;
      continued = false;
    } else if (line == "```") {
      inside = false;
    } else if (inside && !result.empty() && result.back().output.empty() &&
               (line == ">" || line.starts_with("> "))) {
      result.back().command += "\n" + (line == ">" ? std::string() : line.substr(2));
    } else if (inside && (line.starts_with("$ ") || continued)) {
      if (continued)
        result.back().command += "\n" + line;
      else
        result.push_back({number, line.substr(2), ""});
      continued = line.ends_with("\\");
    } else if (inside) {
      REQUIRE_FALSE(result.empty());
      result.back().output += line + "\n";
    }
  }
  return result;
}

/// Equal but for the last two units of the last digit of numbers with a fraction: float32 sums differ between
/// processors.
bool shows_the_same(const std::string& a, const std::string& b) {
  static const std::regex fraction("-?[0-9]+\\.[0-9]+");
  if (std::regex_replace(a, fraction, "#") != std::regex_replace(b, fraction, "#")) return false;
  std::sregex_iterator left(a.begin(), a.end(), fraction), right(b.begin(), b.end(), fraction);
  for (; left != std::sregex_iterator(); ++left, ++right) {
    const std::string x = left->str(), y = right->str();
    const double unit = std::pow(10.0, -static_cast<double>(x.size() - x.find('.') - 1));
    if (std::abs(std::stod(x) - std::stod(y)) > 2.5 * unit) return false;
  }
  return true;
}

std::vector<fs::path> pages() {
  std::vector<fs::path> result;
  for (const auto& entry : fs::directory_iterator(source_root()))
    if (entry.path().extension() == ".md") result.push_back(entry.path());
  for (const auto& entry : fs::recursive_directory_iterator(source_root() / "docs"))
    if (entry.path().extension() == ".md") result.push_back(entry.path());
  std::sort(result.begin(), result.end());
  return result;
}

/// What stands between `<!-- NAME -->` and `<!-- end -->`.
std::string generated_part(const std::string& page, const std::string& name) {
  const std::string begin = "<!-- " + name + " -->\n";
  const std::size_t start = page.find(begin);
  REQUIRE(start != std::string::npos);
  const std::size_t from = start + begin.size();
  return page.substr(from, page.find("<!-- end -->", from) - from);
}

}  // namespace

TEST_CASE("every command that the documentation shows prints what it shows") {
  std::size_t commands = 0;
  for (const fs::path& page : pages()) {
    const Workplace place;
    for (const Shown& shown : shown_commands(page)) {
      ++commands;
      INFO(fs::relative(page, source_root()).string(), ":", shown.line, ": $ ", shown.command);
      const std::string out = place.run(shown.command).out;
      const bool same = shows_the_same(out, shown.output);
      if (!same) CHECK(out == shown.output);
      CHECK(same);
    }
  }
  CHECK(commands > 15);
}

TEST_CASE("the pages of the methods are what scripts/generate_method_pages.sh makes of the rules") {
  const RuleLibrary& library = RuleLibrary::builtin();
  const fs::path directory = source_root() / "docs/methods";
  std::set<std::string> files;
  for (const std::string& name : library.analyzer_names()) {
    INFO("docs/methods/", name, ".md is stale: run scripts/generate_method_pages.sh");
    const bool fresh = read_text(directory / (name + ".md")) == method_page(library, name);
    CHECK(fresh);
    files.insert(name + ".md");
  }
  const bool fresh_index = read_text(directory / "README.md") == method_index(library);
  CHECK(fresh_index);
  files.insert("README.md");
  for (const auto& entry : fs::directory_iterator(directory)) {
    INFO(entry.path().string(), " belongs to no method");
    CHECK(files.contains(entry.path().filename().string()));
  }
}

TEST_CASE("the tables of the language reference are those of the command, and every word is explained") {
  const std::string page = read_text(source_root() / "docs/rule-language.md");
  const bool words = generated_part(page, "rulegrad words") == words_table();
  CHECK(words);
  const bool operators = generated_part(page, "rulegrad operators") == operators_table();
  const bool samplers = generated_part(page, "rulegrad samplers") == samplers_table();
  CHECK(operators);
  CHECK(samplers);
  CHECK(words_table().find("|  |\n") == std::string::npos);
  CHECK(operators_table().find("|  |\n") == std::string::npos);
}

TEST_CASE("the comparison with other tools names methods that exist") {
  static const std::regex name("`([a-z_0-9]+(\\.[a-z_0-9]+)*)(:[^`]*)?`");
  const std::string page = read_text(source_root() / "docs/comparison.md");
  const std::size_t from = page.find("## One method, four names"),
                    to = page.find("## How to get the same numbers");
  REQUIRE(from < to);
  const std::string table = page.substr(from, to - from);
  const RuleLibrary& library = RuleLibrary::builtin();
  std::set<std::string> named;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ")) continue;
    for (std::sregex_iterator it(line.begin(), line.end(), name), end; it != end; ++it) {
      INFO(line);
      CHECK_NOTHROW((void)library.analyzer((*it)[1].str()));
      named.insert((*it)[1].str());
    }
  }
  CHECK(named.size() > 70);
}

TEST_CASE("links between pages of the documentation lead somewhere") {
  static const std::regex link(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  for (const fs::path& page : pages()) {
    std::string text = read_text(page);
    // Code is no text: what looks like a link there is none.
    static const std::regex fenced("```[^`]*```"), indented("\n\n(    [^\n]*\n)+");
    text = std::regex_replace(std::regex_replace(text, fenced, ""), indented, "\n\n");
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      INFO(page.string(), " links to ", (*it)[1].str());
      CHECK(fs::exists(page.parent_path() / (*it)[1].str()));
    }
  }
}
