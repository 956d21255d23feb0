#include "fuzz/target.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <unistd.h>

#include "rulegrad/support/error.hpp"

namespace rulegrad::fuzz {

void finding(const std::string& what) {
  std::fprintf(stderr, "FINDING %s\n", what.c_str());
  std::fflush(stderr);
  std::abort();
}

bool answers(const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::internal) finding(fmt::format("internal error: {}", error.what()));
    if (error.what()[0] == '\0') finding("an error without a text");
    return false;
  } catch (const std::exception& error) {
    finding(fmt::format("an exception that is no Error: {}", error.what()));
  } catch (...) {
    finding("something thrown that is no exception");
  }
}

std::int64_t extreme(RandomEngine& random) {
  constexpr std::int64_t one = 1;
  static constexpr std::array numbers{one << 15,
                                      (one << 16) - 1,
                                      one << 16,
                                      (one << 20),
                                      one << 24,
                                      (one << 31) - 1,
                                      one << 31,
                                      -(one << 31),
                                      (one << 32) - 1,
                                      one << 32,
                                      (one << 32) + 1,
                                      one << 33,
                                      one << 40,
                                      one << 46,
                                      one << 60,
                                      one << 61,
                                      one << 62,
                                      (one << 62) + 1,
                                      std::int64_t{46341},
                                      std::int64_t{3037000500},
                                      std::int64_t{4294967291},
                                      std::int64_t{6148914691236517206},
                                      std::int64_t{658812288346769701},
                                      std::numeric_limits<std::int64_t>::max(),
                                      std::numeric_limits<std::int64_t>::min(),
                                      std::numeric_limits<std::int64_t>::min() + 1};
  const std::int64_t number = numbers[below(random, numbers.size())];
  return one_in(random, 4) ? static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(number)) : number;
}

std::int64_t any_number(RandomEngine& random) {
  switch (below(random, 8)) {
    case 0:
      return extreme(random);
    case 1:
      return static_cast<std::int64_t>(below(random, 300)) - 20;
    default:
      return static_cast<std::int64_t>(below(random, 9)) - 2;
  }
}

std::uint64_t digest(std::span<const std::uint8_t> input) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::uint8_t byte : input) hash = (hash ^ byte) * 0x100000001b3ULL;
  return hash ^ hash >> 29;
}

void mutate_bytes(Bytes& input, RandomEngine& random) {
  if (input.empty()) input.push_back(0);
  const std::size_t at = below(random, input.size());
  const std::size_t length =
      std::min(input.size() - at, one_in(random, 4) ? 1 + below(random, 64) : 1 + below(random, 4));
  const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
  switch (below(random, 6)) {
    case 0:
      input.erase(place, place + static_cast<std::ptrdiff_t>(length));
      break;
    case 1: {
      const Bytes part(place, place + static_cast<std::ptrdiff_t>(length));
      input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(random, input.size())), part.begin(),
                   part.end());
      break;
    }
    case 2:
      *place = static_cast<std::uint8_t>(random());
      break;
    case 3:
      *place = static_cast<std::uint8_t>(*place ^ 1U << below(random, 8));
      break;
    case 4:
      *place = static_cast<std::uint8_t>(*place + (one_in(random, 2) ? 1 : 255));
      break;
    default: {
      const auto number = static_cast<std::uint64_t>(any_number(random));
      for (std::size_t i = 0; i < 8 && at + i < input.size(); ++i)
        input[at + i] = static_cast<std::uint8_t>(number >> (8 * (one_in(random, 2) ? i : 3 - (i & 3))));
      break;
    }
  }
}

namespace {

enum class Kind : std::uint8_t { word, number, sign, space };
struct Token {
  Kind kind;
  std::string text;
};

std::vector<Token> tokens_of(const Bytes& input) {
  std::vector<Token> tokens;
  const auto kind_of = [](std::uint8_t c) {
    if (std::isalpha(c) != 0 || c == '_') return Kind::word;
    if (std::isdigit(c) != 0) return Kind::number;
    return c == ' ' || c == '\n' ? Kind::space : Kind::sign;
  };
  for (const std::uint8_t c : input) {
    const Kind kind = kind_of(c);
    const bool joins =
        !tokens.empty() && ((kind != Kind::sign && tokens.back().kind == kind && c != '\n') ||
                            (tokens.back().kind == Kind::word && (kind == Kind::number || c == '.')));
    if (joins)
      tokens.back().text += static_cast<char>(c);
    else
      tokens.push_back({kind, std::string(1, static_cast<char>(c))});
  }
  return tokens;
}

std::string number_text(RandomEngine& random) {
  switch (below(random, 10)) {
    case 0:
      return "1e300";
    case 1:
      return "1e-300";
    case 2:
      return "0.5";
    case 3:
      return "1e9";
    default:
      return std::to_string(any_number(random));
  }
}

}  // namespace

void mutate_text(Bytes& input, RandomEngine& random, std::span<const std::string> vocabulary) {
  std::vector<Token> tokens = tokens_of(input);
  if (tokens.empty() || one_in(random, 16)) return mutate_bytes(input, random);
  const std::size_t at = below(random, tokens.size());
  const auto some = [&](Kind kind) {
    for (int tries = 0; tries < 30; ++tries)
      if (const std::size_t i = below(random, tokens.size()); tokens[i].kind == kind) return i;
    return at;
  };
  const auto place = tokens.begin() + static_cast<std::ptrdiff_t>(at);
  switch (below(random, 9)) {
    case 0:
    case 1:
      tokens[some(Kind::number)].text = number_text(random);
      break;
    case 2:
      tokens[some(Kind::word)].text = tokens[some(Kind::word)].text;
      break;
    case 3:
      if (!vocabulary.empty()) tokens[some(Kind::word)].text = vocabulary[below(random, vocabulary.size())];
      break;
    case 4:
      tokens.erase(place);
      break;
    case 5:
      tokens.insert(place, Token(tokens[below(random, tokens.size())]));
      break;
    case 6:
      std::swap(tokens[at], tokens[below(random, tokens.size())]);
      break;
    default: {
      // Lines: a run of them doubled, moved or taken out.
      std::vector<std::size_t> starts{0};
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
        if (tokens[i].text == "\n") starts.push_back(i + 1);
      const std::size_t first = below(random, starts.size()),
                        last = std::min(starts.size(), first + 1 + below(random, 3));
      const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(starts[first]);
      const auto end =
          last < starts.size() ? tokens.begin() + static_cast<std::ptrdiff_t>(starts[last]) : tokens.end();
      const std::vector<Token> lines(begin, end);
      const std::size_t to = starts[below(random, starts.size())];
      if (one_in(random, 3))
        tokens.erase(begin, end);
      else
        tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(to), lines.begin(), lines.end());
      break;
    }
  }
  input.clear();
  for (const Token& token : tokens) input.insert(input.end(), token.text.begin(), token.text.end());
}

namespace {

std::filesystem::path scratch_folder() {
  const std::filesystem::path shared = "/dev/shm";
  return std::filesystem::is_directory(shared) ? shared : std::filesystem::temp_directory_path();
}

}  // namespace

ScratchFile::ScratchFile(std::string_view extension)
    : path_((scratch_folder() / fmt::format("rulegrad-fuzz-{}{}", ::getpid(), extension)).string()) {}

void ScratchFile::remove_those_of(int process) {
  const std::string prefix = fmt::format("rulegrad-fuzz-{}.", process);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(scratch_folder(), ignored))
    if (entry.path().filename().string().starts_with(prefix)) std::filesystem::remove(entry.path(), ignored);
}

ScratchFile::~ScratchFile() {
  std::remove(path_.c_str());
}

void ScratchFile::write(std::span<const std::uint8_t> bytes) const {
  std::ofstream file(path_, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace rulegrad::fuzz
