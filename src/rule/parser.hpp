#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rule/term_parser.hpp"

namespace rulegrad::syntax {

/// Reads the items of a file; goes on behind a mistake at the next item, rule or statement.
class FileParser {
 public:
  FileParser(std::string_view text, std::string path) : source_(text), cursor_(text, std::move(path)) {}
  /// Throws RuleError.
  RuleFile run();

 private:
  void header();
  void item();
  void include();
  void function(std::string doc);
  void composite(std::string doc);
  void rule_set(std::string doc);
  void skip_to_item();
  /// The rules and uses between `{` and `}`; uses are terms of `of_set`, and not allowed without it.
  void rules(RuleSet& set, TermParser* of_set, const Scope& scope);
  void skip_in_set();
  Rule rule(const Scope& outer);
  void gradient_pattern(Rule& rule, TermParser& parser, const Token& word);
  std::vector<std::string> names_in_parentheses(std::string_view what, std::string_view help,
                                                std::vector<SourceRange>& where);
  std::vector<Parameter> parameters(TermParser& terms);
  Parameter parameter(TermParser& terms);
  /// Parameters before a block; behind a mistake in them the block follows.
  void block_head(TermParser& terms, std::vector<Parameter>& into);
  NumberRange number_range();
  double bound();

  void analyzer(std::string doc);
  void statement(AnalyzerDefinition& result, TermParser& terms);
  void use(AnalyzerDefinition& result, TermParser& terms);
  TermId rules_in_place(const AnalyzerDefinition& owner, TermParser& terms, const Token& open);
  ForClause for_clause(TermParser& terms);
  Placement placement(TermParser& terms, bool names_world);
  void properties(AnalyzerDefinition& result);
  /// Statements that an analyzer has at most once.
  void once(bool given, const Token& word, const SourceRange& first);
  void skip_to_statement();
  /// Two parts of a block on one line must be told apart by a word.
  void expect_end_of(std::string_view what, bool next_begins_with_word);
  /// `}`, or a report that it is missing.
  void close_block(const Token& open, std::string_view what);

  std::string_view source_;
  Cursor cursor_;
  RuleFile file_;
  SourceRange default_place_;
};

}  // namespace rulegrad::syntax
