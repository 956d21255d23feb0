#include "rulegrad/rule/diagnostic.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rulegrad {
namespace {

std::string_view line_of(std::string_view source, int line) {
  for (int i = 1; i < line; ++i) {
    const std::size_t end = source.find('\n');
    if (end == std::string_view::npos) return {};
    source.remove_prefix(end + 1);
  }
  source = source.substr(0, source.find('\n'));
  if (source.ends_with('\r')) source.remove_suffix(1);
  if (line == 1 && source.starts_with("\xEF\xBB\xBF")) source.remove_prefix(3);
  return source;
}

bool starts_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

/// The line with carets below the range; tabs stay tabs so that the two line up.
std::string excerpt(const SourceRange& where, std::string_view source) {
  if (where.line < 1 || source.empty()) return {};
  std::string shown, carets;
  int column = 0, marked = 0;
  for (const char c : line_of(source, where.line)) {
    const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\t';
    shown += control ? ' ' : c;
    if (!starts_code_point(c)) continue;
    ++column;
    const bool inside = column >= where.column && column < where.column + std::max(where.length, 1);
    if (inside) {
      carets += marked++ == 0 ? '^' : '~';
    } else if (column < where.column) {
      carets += c == '\t' ? '\t' : ' ';
    }
  }
  // Just behind the line: something is missing there.
  if (marked == 0) {
    while (column++ < where.column - 1) carets += ' ';
    carets += '^';
  }
  const std::string number = std::to_string(where.line);
  return fmt::format("\n{:>5} | {}\n{:>5} | {}", number, shown, "", carets);
}

std::string place(const SourceRange& where) {
  if (where.line < 1) return where.file.empty() ? std::string() : where.file + ": ";
  return fmt::format("{}:{}:{}: ", where.file, where.line, where.column);
}

std::string_view name_of(Severity severity) {
  return severity == Severity::error ? "error" : severity == Severity::warning ? "warning" : "note";
}

}  // namespace

std::string render(const Diagnostic& diagnostic, std::string_view source) {
  std::string text = fmt::format("{}{}[{}]: {}{}", place(diagnostic.where), name_of(diagnostic.severity),
                                 diagnostic.code, diagnostic.message, excerpt(diagnostic.where, source));
  for (const DiagnosticNote& note : diagnostic.notes) {
    if (!note.where) {
      text += fmt::format("\nnote: {}", note.message);
      continue;
    }
    text += fmt::format("\n{}note: {}", place(*note.where), note.message);
    if (note.where->file == diagnostic.where.file) text += excerpt(*note.where, source);
  }
  if (!diagnostic.help.empty()) text += fmt::format("\nhelp: {}", diagnostic.help);
  return text;
}

std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view source) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!text.empty()) text += "\n\n";
    text += render(diagnostic, source);
  }
  return text;
}

RuleError::RuleError(std::vector<Diagnostic> diagnostics, std::string_view source)
    : Error(ErrorCode::rule, render(diagnostics, source)), diagnostics_(std::move(diagnostics)) {}

}  // namespace rulegrad
