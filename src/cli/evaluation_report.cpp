#include "cli/evaluation_report.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>

#include "rulegrad/draw/line_chart.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {
namespace {

/// Rounded, without the sign of a zero.
std::string shown(double value, int digits = 3) {
  const std::string text = fmt::format("{:.{}f}", value, digits);
  return text.find_first_of("123456789ni") == std::string::npos && text.starts_with('-') ? text.substr(1)
                                                                                         : text;
}

struct Column {
  std::string title, csv_name;
  std::function<std::optional<double>(const Measures&)> value;
};

const std::vector<Column>& columns() {
  static const std::vector<Column> all{
      {"AOPC", "aopc", [](const Measures& m) { return m.aopc; }},
      {"least first", "aopc_least_relevant_first", [](const Measures& m) { return m.aopc_least; }},
      {"between", "area_between_curves", [](const Measures& m) { return m.aopc - m.aopc_least; }},
      {"deletion", "deletion_auc", [](const Measures& m) { return m.deletion; }},
      {"insertion", "insertion_auc", [](const Measures& m) { return m.insertion; }},
      {"Gini", "gini", [](const Measures& m) { return m.gini; }},
      {"incomplete", "completeness_error", [](const Measures& m) { return m.completeness; }},
      {"sensitivity", "max_sensitivity", [](const Measures& m) { return m.sensitivity; }},
      {"precision", "precision", [](const Measures& m) { return m.precision; }},
  };
  return all;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string aligned(std::span<const std::vector<std::string>> rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t k = 0; k < row.size(); ++k) {
      if (k == widths.size()) widths.push_back(0);
      widths[k] = std::max(widths[k], row[k].size());
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t k = 0; k < row.size(); ++k)
      line += k == 0 ? fmt::format("{:<{}}", row[k], widths[k]) : fmt::format("  {:>{}}", row[k], widths[k]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string measures_table(const EvaluationResult& result) {
  std::vector<std::vector<std::string>> rows{{"method"}};
  for (const MethodResult& method : result.methods) rows.push_back({method.name});
  for (const Column& column : columns()) {
    if (!column.value(result.methods.front().measures)) continue;
    rows[0].push_back(column.title);
    for (std::size_t m = 0; m < result.methods.size(); ++m)
      rows[m + 1].push_back(shown(*column.value(result.methods[m].measures)));
  }
  return aligned(rows);
}

std::string compared_with_floor(const EvaluationResult& result) {
  const auto floor = std::ranges::find_if(result.methods, &MethodResult::floor);
  std::string text;
  for (const Column& column : columns()) {
    if (column.title != "AOPC" && column.title != "between" && column.title != "insertion") continue;
    std::vector<std::string> below;
    for (const MethodResult& method : result.methods)
      if (!method.floor && !(*column.value(method.measures) > *column.value(floor->measures)))
        below.push_back(method.name);
    const std::size_t others = result.methods.size() - 1;
    text += fmt::format("{:<9} above {}'s: {}\n", column.title, floor->name,
                        below.empty()            ? std::string(others == 1 ? "yes" : "all methods")
                        : below.size() == others ? std::string(others == 1 ? "no" : "no method")
                                                 : "all but " + join(below));
  }
  return text;
}

std::string randomisation_table(const EvaluationResult& result, std::size_t kind) {
  std::vector<std::vector<std::string>> rows{{"layer"}};
  for (const std::string& layer : result.layers) rows.push_back({layer});
  for (const MethodResult& method : result.methods) {
    rows[0].push_back(method.name);
    const LayerCorrelations& found = method.randomisation[kind];
    for (std::size_t k = 0; k < found.correlation.size(); ++k)
      rows[k + 1].push_back(
          fmt::format("{} |{}|", shown(found.correlation[k], 2), shown(found.of_magnitudes[k], 2)));
  }
  return aligned(rows);
}

std::string as_csv(const EvaluationResult& result) {
  std::string text = "method,measure,at,value\n";
  for (const MethodResult& method : result.methods) {
    const std::string name = csv_field(method.name);
    const auto add = [&](const std::string& measure, const std::string& at, double value) {
      text += fmt::format("{},{},{},{}\n", name, measure, csv_field(at), shortest(value));
    };
    for (const Column& column : columns())
      if (const auto value = column.value(method.measures)) add(column.csv_name, "", *value);
    for (const auto& [curve, values] :
         {std::pair("most_relevant_first", &method.most), std::pair("least_relevant_first", &method.least),
          std::pair("insertion", &method.insertion)})
      for (std::size_t k = 0; k < values->size(); ++k)
        add(curve, shortest(result.fractions[k]), (*values)[k]);
    for (const LayerCorrelations& found : method.randomisation)
      for (std::size_t k = 0; k < found.correlation.size(); ++k) {
        add(found.kind + "_rank_correlation", result.layers[k], found.correlation[k]);
        add(found.kind + "_rank_correlation_of_magnitudes", result.layers[k], found.of_magnitudes[k]);
      }
  }
  return text;
}

io::Picture as_chart(const EvaluationResult& result, const std::string& title, const std::string& replaced,
                     const std::string& inserted) {
  std::vector<io::LinePanel> panels{
      {"most relevant first: falls early", "fraction replaced by " + replaced, {}},
      {"least relevant first: stays up", "fraction replaced by " + replaced, {}},
      {"insertion: rises early", "fraction inserted into " + inserted, {}}};
  for (const MethodResult& method : result.methods) {
    panels[0].series.push_back({method.name, result.fractions, method.most, method.floor});
    panels[1].series.push_back({method.name, result.fractions, method.least, method.floor});
    panels[2].series.push_back({method.name, result.fractions, method.insertion, method.floor});
  }
  io::LineChartOptions options;
  options.title = title;
  options.panel_width = 300;
  options.panel_height = 240;
  return io::line_chart(panels, options);
}

void write_result(Json& json, const EvaluationResult& result) {
  const auto list = [&](const char* name, const std::vector<double>& values) {
    json.key(name).open('[');
    for (const double value : values) json.number(value);
    json.close(']');
  };
  list("fractions", result.fractions);
  json.key("methods").open('[');
  for (const MethodResult& method : result.methods) {
    const Measures& m = method.measures;
    json.open('{').key("name").text(method.name).key("floor").truth(method.floor);
    json.key("aopc")
        .number(m.aopc)
        .key("aopc_least")
        .number(m.aopc_least)
        .key("deletion")
        .number(m.deletion)
        .key("insertion")
        .number(m.insertion)
        .key("gini")
        .number(m.gini);
    for (const auto& [name, value] :
         {std::pair{"completeness", m.completeness}, std::pair{"sensitivity", m.sensitivity},
          std::pair{"precision", m.precision}})
      if (value) json.key(name).number(*value);
    list("most_relevant_first", method.most);
    list("least_relevant_first", method.least);
    list("insertion_curve", method.insertion);
    json.key("randomisation").open('[');
    for (const LayerCorrelations& kind : method.randomisation) {
      json.open('{').key("kind").text(kind.kind);
      list("correlation", kind.correlation);
      list("of_magnitudes", kind.of_magnitudes);
      json.close('}');
    }
    json.close(']').close('}');
  }
  json.close(']').key("layers").open('[');
  for (const std::string& layer : result.layers) json.text(layer);
  json.close(']');
}

}  // namespace rulegrad::cli
