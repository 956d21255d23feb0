#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/draw/page.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "arrays.hpp"
#include "holder.hpp"
#include "pictures.hpp"

namespace rulegrad::python {
namespace {

io::PagePart part_of(const py::dict& given) {
  const std::vector<std::string> kinds{"picture", "map", "bars", "tokens", "series"};
  const auto kind = given["kind"].cast<std::string>();
  const auto found = std::find(kinds.begin(), kinds.end(), kind);
  if (found == kinds.end())
    throw Error(ErrorCode::unknown_name, unknown_name_message("part of a page", kind, kinds));
  io::PagePart part;
  part.kind = static_cast<io::PagePart::Kind>(found - kinds.begin());
  part.caption = given["caption"].cast<std::string>();
  if (part.kind == io::PagePart::Kind::picture) {
    part.picture = picture_of(given["picture"]);
    return part;
  }
  part.values = tensor_of(given["values"]);
  if (given.contains("signal")) part.signal = tensor_of(given["signal"]);
  if (given.contains("names")) part.names = given["names"].cast<std::vector<std::string>>();
  if (given.contains("over") && !given["over"].is_none()) part.over = given["over"].cast<std::size_t>();
  return part;
}

/// From the rows of `Model.explain_rules`.
io::PageRules rules_of(const py::dict& given) {
  io::PageRules rules{.title = given["title"].cast<std::string>()};
  if (given.contains("problem")) rules.problem = given["problem"].cast<std::string>();
  const auto text = [](const py::dict& row, const char* key) { return row[key].cast<std::string>(); };
  for (const auto item : given["steps"].cast<py::list>()) {
    const auto row = item.cast<py::dict>();
    const std::size_t step = rules.steps.size();
    rules.steps.push_back({step, text(row, "node"), text(row, "operator"), text(row, "operand"),
                           text(row, "rule"), text(row, "place"), text(row, "why")});
    if (!row.contains("in")) continue;
    FlowRow flow{.step = step};
    for (const auto& [key, value] :
         {std::pair{"in", &flow.in}, std::pair{"out", &flow.out}, std::pair{"bias", &flow.bias},
          std::pair{"stabiliser", &flow.stabiliser}, std::pair{"rest", &flow.rest}})
      *value = row[key].cast<double>();
    rules.flow.rows.push_back(flow);
  }
  for (const auto item : given["rewrites"].cast<py::list>()) {
    const auto row = item.cast<py::dict>();
    rules.rewrites.push_back({text(row, "before"), text(row, "folded"), text(row, "after"), text(row, "rule"),
                              text(row, "place")});
  }
  return rules;
}

std::string page(const py::dict& given) {
  io::Page page{.title = given["title"].cast<std::string>(),
                .percentile = given["percentile"].cast<double>(),
                .overlay = given["overlay"].cast<double>()};
  for (const auto item : given["samples"].cast<py::list>()) {
    const auto row = item.cast<py::dict>();
    io::PageSample sample{.heading = row["heading"].cast<std::string>()};
    for (const auto part : row["parts"].cast<py::list>())
      sample.parts.push_back(part_of(part.cast<py::dict>()));
    sample.answers = row["answers"].cast<std::vector<std::pair<std::string, double>>>();
    page.samples.push_back(std::move(sample));
  }
  for (const auto item : given["rules"].cast<py::list>())
    page.rules.push_back(rules_of(item.cast<py::dict>()));
  page.facts = given["facts"].cast<std::vector<std::pair<std::string, std::string>>>();
  return io::page_html(page);
}

}  // namespace

void bind_pages(py::module_& module) {
  module.def("page", &page, py::arg("content"));
  module.def("bars_html", [](const py::object& values, const std::vector<std::string>& names) {
    return io::bars_html(tensor_of(values), names);
  });
  module.def("token_spans", [](const py::object& values, const std::vector<std::string>& names) {
    return io::token_spans(tensor_of(values), names);
  });
  module.def("bars_style", &io::bars_style);
}

}  // namespace rulegrad::python
