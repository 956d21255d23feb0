// Runs the cases of a program. With RULEGRAD_DECIMAL_COMMA in the environment they run in a host whose
// numbers have a decimal comma, as C and C++ programs of half of the world do.
#define DOCTEST_CONFIG_IMPLEMENT
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <locale>
#include <string>

namespace {

struct CommaPoint : std::numpunct<char> {
  [[nodiscard]] char do_decimal_point() const override { return ','; }
  [[nodiscard]] char do_thousands_sep() const override { return '.'; }
  [[nodiscard]] std::string do_grouping() const override { return "\3"; }
};

/// What `localedef` makes of a decimal_point "," and a thousands_sep ".": systems need not have any such
/// locale.
constexpr unsigned char numeric[] = {0x14, 0x11, 0x03, 0x20, 6,   0,   0,   0,    0x20, 0,   0,   0,    0x22,
                                     0,    0,    0,    0x24, 0,   0,   0,   0x28, 0,    0,   0,   0x2c, 0,
                                     0,    0,    0x30, 0,    0,   0,   ',', 0,    '.',  0,   3,   3,    0,
                                     0,    ',',  0,    0,    0,   '.', 0,   0,    0,    'A', 'N', 'S',  'I',
                                     '_',  'X',  '3',  '.',  '4', '-', '1', '9',  '6',  '8', 0};

bool take_decimal_comma() {
  namespace fs = std::filesystem;
  std::string folder = (fs::temp_directory_path() / "rulegrad-locale-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return false;
  fs::create_directories(folder + "/comma");
  std::ofstream(folder + "/comma/LC_NUMERIC", std::ios::binary)
      .write(reinterpret_cast<const char*>(numeric), sizeof numeric);
  ::setenv("LOCPATH", folder.c_str(), 1);
  const bool taken = std::setlocale(LC_NUMERIC, "comma") != nullptr;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  std::locale::global(std::locale(std::locale(), new CommaPoint));
  // Streams of C++ alone would leave strtod and printf as they were.
  (void)std::setlocale(LC_NUMERIC, "comma");
  char text[8] = "";
  std::snprintf(text, sizeof text, "%.1f", 1.5);
  return taken && std::string(text) == "1,5";
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int skipped = 77;
  if (std::getenv("RULEGRAD_DECIMAL_COMMA") != nullptr && !take_decimal_comma()) {
    std::puts("this C library takes no such locale");
    return skipped;
  }
  return doctest::Context(argc, argv).run();
}
