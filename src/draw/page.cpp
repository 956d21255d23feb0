#include "rulegrad/draw/page.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <numeric>
#include <span>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/series.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/json.hpp"

#include "draw/base64.hpp"
#include "draw/drawing.hpp"
#include "draw/page_template.hpp"
#include "files/codec.hpp"

namespace rulegrad::io {
namespace {

constexpr std::size_t most_bars = 40;

std::string css(const Rgb& color) {
  return fmt::format("rgb({},{},{})", color[0], color[1], color[2]);
}

std::vector<double> numbers_of(const Tensor& values, std::string_view what) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    result.push_back(values.at(i));
    if (!std::isfinite(result.back()))
      throw Error(ErrorCode::non_finite,
                  fmt::format("[page] {} is {} at element {}", what, result.back(), i));
  }
  return result;
}

double limit_of(const std::vector<double>& values) {
  double limit = 0;
  for (const double value : values) limit = std::max(limit, std::abs(value));
  return limit > 0 ? limit : 1;
}

void require_names(const std::vector<double>& values, const std::vector<std::string>& names,
                   std::string_view what) {
  if (values.size() != names.size())
    throw Error(ErrorCode::shape,
                fmt::format("[page] {} has {} values but {} names", what, values.size(), names.size()));
}

class Writer {
 public:
  explicit Writer(const Page& page) : page_(page), colors_(ColorMap::named(page.colormap)) {}

  std::string whole() {
    std::string body;
    for (std::size_t sample = 0; sample < page_.samples.size(); ++sample)
      body += section(page_.samples[sample], sample);
    std::string rules;
    for (std::size_t i = 0; i < page_.rules.size(); ++i)
      rules += fmt::format("<details{}><summary>{}</summary>{}</details>", i == 0 ? " open" : "",
                           markup_text(page_.rules[i].title), layers(page_.rules[i]));
    if (!rules.empty()) rules = "<h2>The rules that ran, and where relevance went</h2>" + rules;
    std::string facts;
    for (const auto& [name, value] : page_.facts)
      facts += fmt::format("<tr><td>{}</td><td>{}</td></tr>", markup_text(name), markup_text(value));
    const std::string title = markup_text(page_.title);
    return fmt::format(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width\"><title>{}</title>"
        "<style>{}{}</style></head><body><h1>{}</h1><p class=\"quiet\">{}</p>{}{}{}"
        "<h2>What made this page</h2><table><tbody>{}</tbody></table>{}</body></html>\n",
        title, page_template::style, page_template::bars, title, page_template::legend,
        maps_.empty() ? "" : controls(), body, rules, facts, maps_.empty() ? "" : script());
  }

 private:
  [[nodiscard]] std::string controls() const {
    return fmt::format(
        "<div class=\"controls\"><label>overlay <input id=\"overlay\" type=\"range\" min=\"0\" max=\"1\" "
        "step=\"0.01\" value=\"{}\"> <span id=\"overlay-shown\"></span></label>"
        "<label>full colour at the percentile <input id=\"percentile\" type=\"range\" min=\"50\" max=\"100\" "
        "step=\"0.1\" value=\"{}\"> <span id=\"percentile-shown\"></span></label></div>",
        page_.overlay, page_.percentile);
  }

  [[nodiscard]] std::string script() const {
    std::string table;
    for (int i = 0; i < 255; ++i)  // the middle one is that of 0
      for (const std::uint8_t value : colors_(i / 127.0 - 1.0))
        table += fmt::format("{}{}", table.empty() ? "" : ",", value);
    return fmt::format("<script>const table=[{}],maps=[{}];{}</script>", table, maps_, page_template::script);
  }

  std::string section(const PageSample& sample, std::size_t number) {
    std::string parts;
    for (std::size_t i = 0; i < sample.parts.size(); ++i) parts += figure(sample, number, i);
    std::string answers;
    for (const auto& [name, score] : sample.answers)
      answers += fmt::format("<tr><td>{}</td><td>{:.5g}</td></tr>", markup_text(name), score);
    if (!answers.empty())
      answers = "<table><thead><tr><th>largest scores</th><th></th></tr></thead><tbody>" + answers +
                "</tbody></table>";
    return fmt::format("<section class=\"sample\"><h2>{}</h2><div class=\"row\">{}{}</div></section>",
                       markup_text(sample.heading), parts, answers);
  }

  std::string figure(const PageSample& sample, std::size_t number, std::size_t place) {
    const PagePart& part = sample.parts[place];
    const std::string caption = fmt::format("<figcaption>{}</figcaption>", markup_text(part.caption));
    switch (part.kind) {
      case PagePart::Kind::picture:
        return fmt::format(
            "<figure><img class=\"given\" id=\"p{}-{}\" src=\"data:image/png;base64,{}\" alt=\"the "
            "input\">{}</figure>",
            number, place, base64(encode_png(part.picture, "a page")), caption);
      case PagePart::Kind::map:
        return map(part, number, place) + caption + "</figure>";
      case PagePart::Kind::bars:
        return "<figure>" + bars_html(part.values, part.names, page_.colormap) + caption + "</figure>";
      case PagePart::Kind::tokens:
        return "<figure>" + token_spans(part.values, part.names, page_.colormap) + caption + "</figure>";
      case PagePart::Kind::series:
        return "<figure>" + svg_text(series_figure(part.values, part.signal, {.colormap = page_.colormap})) +
               caption + "</figure>";
    }
    return {};
  }

  std::string map(const PagePart& part, std::size_t number, std::size_t place) {
    if (part.values.rank() != 2)
      throw Error(ErrorCode::shape, fmt::format("[page] the map '{}' is {}; a map is [H, W]", part.caption,
                                                to_string(part.values.dims())));
    std::vector<std::byte> bytes;
    for (const double value : numbers_of(part.values, part.caption)) {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
      for (int shift = 0; shift < 32; shift += 8)
        bytes.push_back(static_cast<std::byte>(bits >> shift & 0xff));
    }
    const std::string id = fmt::format("m{}-{}", number, place);
    const std::int64_t height = part.values.dims()[0], width = part.values.dims()[1];
    Json json;
    json.open('{').key("id").text(id).key("width").number(width).key("height").number(height).key("picture");
    if (part.over)
      json.text(fmt::format("p{}-{}", number, *part.over));
    else
      json.null();
    json.key("values").text(base64(bytes)).close('}');
    maps_ += (maps_.empty() ? "" : ",") + json.whole();
    return fmt::format("<figure><canvas id=\"{}\" width=\"{}\" height=\"{}\"></canvas>", id, width, height);
  }

  [[nodiscard]] static std::string layers(const PageRules& rules) {
    if (!rules.problem.empty())
      return fmt::format("<p class=\"quiet\">the relevance of layers could not be followed: {}</p>",
                         markup_text(rules.problem));
    double scale = 1e-30;
    for (const FlowRow& row : rules.flow.rows) scale = std::max(scale, std::abs(row.in));
    std::string lines;
    for (const ExplainedStep& step : rules.steps) {
      const auto found = std::ranges::find(rules.flow.rows, step.step, &FlowRow::step);
      const FlowRow row = found == rules.flow.rows.end() ? FlowRow{} : *found;
      const auto pixels = [&](double amount) { return 60 * std::min(std::abs(amount) / scale, 1.0); };
      lines += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                           markup_text(step.node), markup_text(step.op), markup_text(step.rule),
                           markup_text(step.place.empty() ? "default" : step.place), markup_text(step.why));
      lines += fmt::format("<td>{:.4g}</td><td>{:.4g}</td><td>{:.3g}</td><td>{:.3g}</td><td>{:.3g}</td>",
                           row.in, row.out, row.bias, row.stabiliser, row.rest);
      lines += fmt::format(
          "<td><span class=\"kept\" style=\"width:{:.1f}px\"></span><span class=\"lost\" "
          "style=\"width:{:.1f}px\"></span></td></tr>",
          pixels(row.out), pixels(row.in - row.out));
    }
    std::string before;
    for (const ExplainedRewrite& rewrite : rules.rewrites)
      before +=
          fmt::format("<li>{} with {} became {} by {} ({})</li>", markup_text(rewrite.before),
                      markup_text(rewrite.folded.empty() ? "nothing" : rewrite.folded),
                      markup_text(rewrite.after), markup_text(rewrite.rule), markup_text(rewrite.place));
    if (!before.empty()) before = "<p>before that</p><ul>" + before + "</ul>";
    return "<table><thead><tr><th>node</th><th>operator</th><th>rule</th><th>place</th><th>why</th><th>in</"
           "th><th>out</th><th>bias</th><th>stabiliser</th><th>rest</th><th>kept, "
           "lost</th></tr></thead><tbody>" +
           lines + "</tbody></table>" + before;
  }

  const Page& page_;
  ColorMap colors_;
  std::string maps_;
};

}  // namespace

std::string page_html(const Page& page) {
  return Writer(page).whole();
}

std::string bars_style() {
  return std::string(page_template::bars);
}

std::string token_spans(const Tensor& values, const std::vector<std::string>& names,
                        const std::string& colormap) {
  const std::vector<double> numbers = numbers_of(values, "a line of tokens");
  require_names(numbers, names, "a line of tokens");
  const ColorMap colors = ColorMap::named(colormap);
  const double limit = limit_of(numbers);
  std::string line;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    line += fmt::format("{}<span class=\"token\" style=\"{}\" title=\"{:.4g}\">{}</span>", i > 0 ? " " : "",
                        look::style_on(colors(numbers[i] / limit)), numbers[i], markup_text(names[i]));
  return "<p class=\"tokens\">" + line + "</p>";
}

std::string bars_html(const Tensor& values, const std::vector<std::string>& names,
                      const std::string& colormap) {
  const std::vector<double> numbers = numbers_of(values, "a chart");
  require_names(numbers, names, "a chart");
  const ColorMap colors = ColorMap::named(colormap);
  const double limit = limit_of(numbers);
  std::vector<std::size_t> order(numbers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t k) { return std::abs(numbers[k]); });
  order.resize(std::min(order.size(), most_bars));
  std::ranges::sort(order);
  std::string lines;
  for (const std::size_t k : order) {
    const double share = numbers[k] / limit;
    lines += fmt::format(
        "<div class=\"bar\"><span>{}</span><span class=\"t\"><i "
        "style=\"left:{:.2f}%;width:{:.2f}%;background:{}\"></i></span><span>{:.4g}</span></div>",
        markup_text(names[k]), share >= 0 ? 50.0 : 50 + 50 * share, std::abs(50 * share), css(colors(share)),
        numbers[k]);
  }
  if (order.size() < numbers.size())
    lines += fmt::format("<p class=\"quiet\">the {} largest of {}</p>", order.size(), numbers.size());
  return lines;
}

}  // namespace rulegrad::io
