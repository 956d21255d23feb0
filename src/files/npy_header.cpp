#include "files/npy_header.hpp"

#include <bit>
#include <charconv>
#include <fmt/format.h>
#include <system_error>

#include "rulegrad/support/error.hpp"

namespace rulegrad::io {
namespace {

/// Recursive descent over the three values that a header may hold. The first failure is the one reported.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string& problem) : text_(text), problem_(problem) {}

  std::optional<NpyHeader> parse() {
    NpyHeader header;
    bool descr = false, order = false, shape = false;
    if (!take('{', "'{'")) return std::nullopt;
    while (!peek('}')) {
      const auto key = quoted("a key in quotes");
      if (!key || !take(':', "':' after the key")) return std::nullopt;
      bool* seen = *key == "descr"           ? &descr
                   : *key == "fortran_order" ? &order
                   : *key == "shape"         ? &shape
                                             : nullptr;
      if (seen == nullptr)
        return fail(fmt::format("unknown key '{}'; expected descr, fortran_order and shape", *key));
      if (*seen) return fail(fmt::format("the key '{}' stands there twice", *key));
      *seen = true;
      const bool ok = seen == &descr   ? read_descr(header.descr)
                      : seen == &order ? read_bool(header.fortran_order)
                                       : read_shape(header.shape);
      if (!ok) return std::nullopt;
      if (!accept(',')) break;
    }
    if (!take('}', "',' or '}'")) return std::nullopt;
    skip_space();
    if (at_ != text_.size()) return fail(fmt::format("text after the dictionary, at byte {}", at_));
    if (!descr || !order || !shape)
      return fail(fmt::format("the key '{}' is missing", !descr   ? "descr"
                                                         : !order ? "fortran_order"
                                                                  : "shape"));
    return header;
  }

 private:
  std::nullopt_t fail(std::string message) {
    if (problem_.empty()) problem_ = std::move(message);
    return std::nullopt;
  }
  bool expected(std::string_view what) {
    const std::string found = at_ < text_.size() ? fmt::format("'{}'", text_.substr(at_, 12)) : "the end";
    fail(fmt::format("expected {} at byte {} of the header but found {}", what, at_, found));
    return false;
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool peek(char symbol) {
    skip_space();
    return at_ < text_.size() && text_[at_] == symbol;
  }
  bool accept(char symbol) {
    if (!peek(symbol)) return false;
    ++at_;
    return true;
  }
  bool take(char symbol, std::string_view what) { return accept(symbol) || expected(what); }

  std::optional<std::string> quoted(std::string_view what) {
    const char quote = peek('"') ? '"' : '\'';
    if (!take(quote, what)) return std::nullopt;
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) return fail("a string without its closing quote");
    std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }
  bool read_descr(std::string& descr) {
    if (peek('[')) {
      fail(
          "a structured dtype (a list of fields); expected one plain number type, so save each field by "
          "itself");
      return false;
    }
    auto value = quoted("a dtype in quotes such as '<f4'");
    if (!value) return false;
    descr = std::move(*value);
    return true;
  }
  bool read_bool(bool& value) {
    skip_space();
    for (const auto& [word, meaning] :
         {std::pair{std::string_view("True"), true}, {std::string_view("False"), false}})
      if (text_.substr(at_).starts_with(word)) {
        value = meaning;
        at_ += word.size();
        return true;
      }
    return expected("True or False");
  }
  bool read_shape(Dims& shape) {
    if (!take('(', "'(' of the shape")) return false;
    while (!peek(')')) {
      std::int64_t extent = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (error != std::errc{} || extent < 0) return expected("an extent of at least 0");
      at_ = static_cast<std::size_t>(end - text_.data());
      accept('L');  // Python 2 wrote long integers so
      shape.push_back(extent);
      if (!accept(',')) break;
    }
    return take(')', "',' or ')'");
  }

  std::string_view text_;
  std::string& problem_;
  std::size_t at_ = 0;
};

}  // namespace

std::string descr_of(DType dtype) {
  constexpr char native = std::endian::native == std::endian::little ? '<' : '>';
  switch (dtype) {
    case DType::float32:
      return fmt::format("{}f4", native);
    case DType::float64:
      return fmt::format("{}f8", native);
    case DType::int32:
      return fmt::format("{}i4", native);
    case DType::int64:
      return fmt::format("{}i8", native);
    case DType::uint8:
      return "|u1";
    case DType::int8:
      return "|i1";
    case DType::boolean:
      break;
  }
  return "|b1";
}

std::optional<NpyHeader> parse_npy_header(std::string_view text, std::string& problem) {
  return HeaderParser(text, problem).parse();
}

std::string npy_preamble(const NpyHeader& header) {
  std::string shape;
  for (const std::int64_t extent : header.shape) shape += fmt::format("{}, ", extent);
  if (header.shape.size() > 1) shape.resize(shape.size() - 2);
  if (header.shape.size() == 1) shape.resize(shape.size() - 1);
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': ({}), }}",
                                       header.descr, header.fortran_order ? "True" : "False", shape);
  constexpr std::size_t fixed = 10;
  const std::size_t padded = (fixed + dictionary.size() + 1 + 63) / 64 * 64;
  dictionary.resize(padded - fixed - 1, ' ');
  dictionary += '\n';
  if (dictionary.size() > 0xFFFF)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[write_npy] an array of rank {} does not fit into an .npy header", header.shape.size()));
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble += static_cast<char>(dictionary.size() & 0xFF);
  preamble += static_cast<char>(dictionary.size() >> 8);
  return preamble + dictionary;
}

}  // namespace rulegrad::io
