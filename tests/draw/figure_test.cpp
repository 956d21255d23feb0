// Figures as pixels, SVG and PDF, and pages: the same shapes, and text that is text.
#include "rulegrad/draw/figure.hpp"

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/grid.hpp"
#include "rulegrad/draw/page.hpp"
#include "rulegrad/support/error.hpp"

#include "draw/base64.hpp"
#include "draw/canvas.hpp"
#include "draw/drawing.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

Figure small_grid() {
  const Tensor map({2, 3}, {0.5F, -1.F, 0.F, 2.F, 0.25F, -0.5F});
  GridRow row{.label = "cat & <dog>",
              .detail = "logit 3.25",
              .input = Picture(3, 2, 3, 90),
              .attributions = {map, Tensor({3}, {1.F, -2.F, 0.5F})},
              .features = {"height", "weight", "age"}};
  return grid_figure(std::vector<std::string>{"gradient", "lrp"}, std::vector<GridRow>{row},
                     {.title = "\xe2\x88\x92 \xce\xb1"});
}

}  // namespace

TEST_CASE("a figure is the picture that it was before") {
  const Figure figure = small_grid();
  const Picture picture = figure.picture();
  CHECK(picture.width == figure.width());
  CHECK(picture.height == figure.height());
  CHECK(picture.at(0, 0, 0) == look::page[0]);
  CHECK(Figure().empty());
  CHECK(Figure(Picture(3, 2, 1, 7), 4).picture() == Picture(12, 8, 1, 7));
}

TEST_CASE("by night paper and ink change, pictures do not") {
  const Figure day = small_grid(), night = day.dark();
  const Picture light = day.picture(), dark = night.picture();
  REQUIRE(light.pixels.size() == dark.pixels.size());
  CHECK(dark.at(0, 0, 0) == 0x15);
  std::size_t changed = 0, kept_gray = 0;
  for (std::int64_t y = 0; y < light.height; ++y)
    for (std::int64_t x = 0; x < light.width; ++x) {
      const bool gray = light.at(x, y, 0) == 90 && light.at(x, y, 1) == 90 && light.at(x, y, 2) == 90;
      changed += light.at(x, y, 0) != dark.at(x, y, 0) ? 1U : 0U;
      if (gray) {
        ++kept_gray;
        CHECK(dark.at(x, y, 0) == 90);
      }
    }
  CHECK(changed > light.pixels.size() / 8);
  CHECK(kept_gray > 1000);
  // The white of zero on the colour bar is a number's, not the paper's.
  Canvas canvas(3, 1, look::page);
  canvas.fill(1, 0, 1, 1, look::panel);
  canvas.fill_number(2, 0, 1, 1, look::panel);
  const Picture both = std::move(canvas).figure().dark().picture();
  CHECK(both.at(1, 0) == 0x1d);
  CHECK(both.at(2, 0) == 0xff);
}

TEST_CASE("SVG keeps text as text and pictures as pictures") {
  const std::string svg = small_grid().svg();
  CHECK(svg.starts_with("<svg xmlns="));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("cat &amp; &lt;dog&gt;") != std::string::npos);
  CHECK(svg.find(">weight</text>") != std::string::npos);
  CHECK(count(svg, "<image ") == 2);  // the input and the heat map; bars are rectangles
  CHECK(count(svg, "<rect ") > 10);
}

TEST_CASE("a PDF says where its objects are") {
  const std::string pdf = small_grid().pdf();
  REQUIRE(pdf.starts_with("%PDF-1.4\n"));
  REQUIRE(pdf.ends_with("%%EOF\n"));
  const std::size_t start = pdf.rfind("startxref\n");
  const std::size_t table = std::stoul(pdf.substr(start + 10));
  REQUIRE(pdf.compare(table, 5, "xref\n") == 0);
  const std::size_t objects = std::stoul(pdf.substr(table + 7));
  CHECK(objects == 9);  // the free one, six, and two pictures
  std::size_t line = pdf.find("00000 n", table) - 11;
  for (std::size_t k = 1; k < objects; ++k, line += 20) {
    const std::size_t place = std::stoul(pdf.substr(line, 10));
    const std::string begin = std::to_string(k) + " 0 obj\n";
    CHECK(pdf.compare(place, begin.size(), begin) == 0);
  }
  CHECK(count(pdf, "/Subtype /Image") == 2);
  CHECK_THROWS_AS((void)Figure().pdf(), Error);
}

TEST_CASE("files by their endings") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path();
  for (const auto& [ending, begin] :
       {std::pair{".png", "\x89PNG"}, std::pair{".svg", "<svg"}, std::pair{".pdf", "%PDF"}}) {
    const std::string path = (folder / (std::string("rulegrad-figure") + ending)).string();
    write_figure(path, small_grid());
    std::string first(4, ' ');
    std::ifstream(path, std::ios::binary).read(first.data(), 4);
    CHECK(first == begin);
    std::filesystem::remove(path);
  }
  CHECK_THROWS_WITH_AS(write_figure("x.gif", small_grid()), doctest::Contains(".png, .svg or .pdf"), Error);
}

TEST_CASE("slices of a volume stand side by side") {
  // Slice d is filled with d + 1, in two channels that add up.
  Tensor volume(DType::float32, {2, 5, 2, 3});
  for (std::int64_t c = 0; c < 2; ++c)
    for (std::int64_t d = 0; d < 5; ++d)
      for (std::int64_t i = 0; i < 6; ++i)
        volume.mutable_values<float>()[static_cast<std::size_t>((c * 5 + d) * 6 + i)] =
            static_cast<float>(d + 1) / 2;
  const Tensor all = slices(volume, ChannelReduction::sum);
  CHECK(all.dims() == Dims{2 * 3 - 1, 3 * 4 - 1});
  CHECK(all.at(0) == 1);
  CHECK(all.at(3) == 0);  // the line between
  CHECK(all.at(4) == 2);
  CHECK(all.at(3 * 11) == 4);
  CHECK(all.at(3 * 11 + 8) == 0);  // no sixth
  const Tensor two = slices(volume, ChannelReduction::mean, Layout::nchw, 2);
  CHECK(two.dims() == Dims{2, 7});
  CHECK(two.at(0) == 1);  // slice 1 of 0..4
  CHECK(two.at(4) == 2);  // slice 3
  CHECK_THROWS_AS((void)slices(Tensor(DType::float32, {2, 3, 4}), ChannelReduction::sum), Error);
}

TEST_CASE("base64 by the examples of RFC 4648") {
  const auto coded = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };
  CHECK(coded("") == "");
  CHECK(coded("f") == "Zg==");
  CHECK(coded("fo") == "Zm8=");
  CHECK(coded("foo") == "Zm9v");
  CHECK(coded("foob") == "Zm9vYg==");
  CHECK(coded("fooba") == "Zm9vYmE=");
  CHECK(coded("foobar") == "Zm9vYmFy");
}

TEST_CASE("a page holds everything and fetches nothing") {
  Page page{.title = "<title>"};
  PageSample sample{.heading = "cat, logit 3"};
  sample.parts.push_back(
      {.kind = PagePart::Kind::picture, .caption = "input", .picture = Picture(3, 2, 3, 90)});
  sample.parts.push_back({.kind = PagePart::Kind::map,
                          .caption = "gradient",
                          .values = Tensor({2, 3}, {0.5F, -1.F, 0.F, 2.F, 0.25F, -0.5F}),
                          .over = 0});
  sample.parts.push_back({.kind = PagePart::Kind::bars,
                          .caption = "b",
                          .values = Tensor({2}, {1.F, -2.F}),
                          .names = {"<a>", "b"}});
  sample.parts.push_back({.kind = PagePart::Kind::tokens,
                          .caption = "t",
                          .values = Tensor({2}, {1.F, -2.F}),
                          .names = {"the", "cat"}});
  sample.parts.push_back({.kind = PagePart::Kind::series,
                          .caption = "s",
                          .values = Tensor({2, 3}, {0.5F, -1.F, 0.F, 2.F, 0.25F, -0.5F}),
                          .signal = Tensor({2, 3}, {1.F, 2.F, 3.F, 3.F, 2.F, 1.F})});
  sample.answers = {{"cat", 3.0}, {"dog", 1.5}};
  page.samples.push_back(sample);
  page.rules.push_back({.title = "lrp",
                        .steps = {{0, "conv1", "conv", "x", "epsilon", "rules/lrp.rules:3", "every conv"}},
                        .flow = {.rows = {{.step = 0, .in = 3, .out = 2.5, .bias = 0.5}}}});
  page.facts = {{"rulegrad", "0"}};
  const std::string html = page_html(page);
  CHECK(html.find("http") == std::string::npos);
  // Zero is white: the middle of 255 colours.
  const std::size_t table = html.find("const table=[") + 13;
  std::istringstream colours(html.substr(table, html.find(']', table) - table));
  std::vector<int> numbers;
  for (std::string number; std::getline(colours, number, ',');) numbers.push_back(std::stoi(number));
  REQUIRE(numbers.size() == 3 * 255);
  for (std::size_t c = 0; c < 3; ++c) CHECK(numbers[3 * 127 + c] == 255);
  CHECK(numbers[3 * 126] + numbers[3 * 126 + 1] + numbers[3 * 126 + 2] < 3 * 255);
  CHECK(html.find("&lt;title&gt;") != std::string::npos);
  CHECK(html.find("&lt;a&gt;") != std::string::npos);
  CHECK(count(html, "<canvas ") == 1);
  CHECK(count(html, "class=\"token\"") == 2);
  // Blue against the score is dark, where full: its text is white.
  CHECK(count(html, ";color:#fff\" title=\"-2\">cat<") == 1);
  CHECK(count(html, ";color:#fff") == 1);
  CHECK(count(html, "<svg ") == 1);
  CHECK(count(html, "<polyline ") == 2);
  CHECK(html.find("rules/lrp.rules:3") != std::string::npos);
  CHECK(html.find("\"picture\": \"p0-0\"") != std::string::npos);
  for (const auto* tag : {"html", "head", "body", "section", "figure", "table", "script", "details", "svg"})
    CHECK(count(html, std::string("<") + tag) ==
          count(html, std::string("</") + tag + ">") +
              (std::string(tag) == "head" ? count(html, "<header") : 0));

  page.samples[0].parts[2].names = {"a"};
  CHECK_THROWS_WITH_AS((void)page_html(page), doctest::Contains("2 values but 1 names"), Error);
}
