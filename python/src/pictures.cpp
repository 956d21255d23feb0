#include "pictures.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/draw/grid.hpp"
#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/draw/series.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "arrays.hpp"
#include "holder.hpp"

namespace rulegrad::python {

io::Preprocessing recipe_of(const py::dict& recipe) {
  io::Preprocessing result = io::preprocessing_from_name(recipe["name"].cast<std::string>());
  if (recipe.contains("scale")) result.scale = recipe["scale"].cast<double>();
  if (recipe.contains("mean")) result.mean = recipe["mean"].cast<std::vector<double>>();
  if (recipe.contains("std")) result.std = recipe["std"].cast<std::vector<double>>();
  // The second word, or the first.
  const auto second = [&](const char* key, const std::vector<std::string>& words) {
    const auto given = recipe[key].cast<std::string>();
    if (given != words[0] && given != words[1])
      throw Error(ErrorCode::unknown_name, unknown_name_message(key, given, words));
    return given == words[1];
  };
  if (recipe.contains("layout"))
    result.layout = second("layout", {"nchw", "nhwc"}) ? io::Layout::nhwc : io::Layout::nchw;
  if (recipe.contains("color"))
    result.color = second("color", {"rgb", "bgr"}) ? io::ColorOrder::bgr : io::ColorOrder::rgb;
  if (recipe.contains("short_side")) result.short_side = recipe["short_side"].cast<std::int64_t>();
  return result;
}

io::Picture picture_of(const py::handle& array) {
  const Tensor pixels = tensor_of(array);
  if (pixels.dtype() != DType::uint8 || pixels.rank() != 3)
    throw Error(ErrorCode::shape, "[picture] pixels are uint8 [height, width, channels]");
  io::Picture picture(pixels.dims()[1], pixels.dims()[0], pixels.dims()[2]);
  const auto values = pixels.values<std::uint8_t>();
  picture.pixels.assign(values.begin(), values.end());
  return picture;
}

namespace {

/// Height, width, channels of 8 bits.
Tensor tensor_of_picture(const io::Picture& picture) {
  return Tensor({picture.height, picture.width, picture.channels},
                std::span<const std::uint8_t>(picture.pixels));
}

io::HeatmapOptions heatmap_of(const py::dict& look) {
  io::HeatmapOptions options;
  if (look.contains("colormap")) options.colormap = look["colormap"].cast<std::string>();
  if (look.contains("percentile")) options.percentile = look["percentile"].cast<double>();
  if (look.contains("gamma")) options.gamma = look["gamma"].cast<double>();
  if (look.contains("limit") && !look["limit"].is_none()) options.limit = look["limit"].cast<double>();
  if (look.contains("layout"))
    options.layout = look["layout"].cast<std::string>() == "nhwc" ? io::Layout::nhwc : io::Layout::nchw;
  if (look.contains("upscale")) options.upscale = look["upscale"].cast<std::int64_t>();
  if (look.contains("reduce")) {
    const std::vector<std::string> known{"sum", "mean", "max_abs", "none"};
    const auto name = look["reduce"].cast<std::string>();
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      throw Error(ErrorCode::unknown_name, unknown_name_message("reduce", name, known));
    options.reduce = static_cast<io::ChannelReduction>(found - known.begin());
  }
  return options;
}

Tensor grid(const std::vector<std::string>& methods, const py::list& given, const py::dict& look,
            const std::string& title, bool overlay) {
  std::vector<io::GridRow> rows;
  for (const auto item : given) {
    const auto row = item.cast<py::dict>();
    io::GridRow made;
    made.label = row["label"].cast<std::string>();
    made.detail = row["detail"].cast<std::string>();
    if (!row["input"].is_none()) made.input = picture_of(row["input"]);
    for (const auto map : row["maps"].cast<py::list>()) made.attributions.push_back(tensor_of(map));
    rows.push_back(std::move(made));
  }
  io::GridOptions options;
  options.title = title;
  options.heatmap = heatmap_of(look);
  if (overlay) options.overlay.emplace();
  return tensor_of_picture(io::grid(methods, rows, options));
}

}  // namespace

void bind_pictures(py::module_& module) {
  module.def("render", [](const py::object& map, const py::dict& look) {
    return tensor_of_picture(io::render(tensor_of(map), heatmap_of(look)));
  });
  module.def("overlay", [](const py::object& picture, const py::object& map, const py::dict& look) {
    return tensor_of_picture(io::overlay(picture_of(picture), tensor_of(map), heatmap_of(look)));
  });
  module.def("looks_like_series", &io::looks_like_series);
  module.def("series", [](const py::object& values, const py::object& signal, const std::string& title,
                          const py::dict& look) {
    const io::HeatmapOptions how = heatmap_of(look);
    return tensor_of_picture(io::series_plot(tensor_of(values),
                                             signal.is_none() ? Tensor() : tensor_of(signal),
                                             {.title = title, .colormap = how.colormap, .limit = how.limit}));
  });
  module.def("grid", &grid);
  module.def("slices", [](const py::object& volume, const py::dict& look) {
    const io::HeatmapOptions how = heatmap_of(look);
    return io::slices(tensor_of(volume), how.reduce, how.layout);
  });
  module.def("symmetric_limit", [](const py::object& map, double percentile) {
    return io::symmetric_limit(tensor_of(map), percentile);
  });
  module.def("read_picture",
             [](const std::string& path) { return tensor_of_picture(io::read_picture(path)); });
  module.def("recipes", [] { return io::preprocessing_names(); });
  module.def("recipe", [](const py::dict& recipe) {
    const io::Preprocessing how = recipe_of(recipe);
    py::dict numbers;
    numbers["scale"] = how.scale;
    numbers["mean"] = how.mean;
    numbers["std"] = how.std;
    numbers["layout"] = how.layout == io::Layout::nhwc ? "nhwc" : "nchw";
    numbers["color"] = how.color == io::ColorOrder::bgr ? "bgr" : "rgb";
    numbers["short_side"] = how.short_side;
    return numbers;
  });
  module.def("to_input", [](const std::string& path, const py::dict& recipe, std::int64_t height,
                            std::int64_t width, std::int64_t channels, const std::string& dtype) {
    const io::Preprocessing how = recipe_of(recipe);
    const DType real = dtype_of_numpy(dtype);
    const py::gil_scoped_release free;
    return io::to_input(io::read_picture(path), how, height, width, channels, real);
  });
  module.def("from_input", [](const py::object& input, const py::dict& recipe, std::int64_t entry) {
    return tensor_of_picture(io::from_input(tensor_of(input), recipe_of(recipe), entry));
  });
  module.def("color_table", [](const std::string& name) {
    const io::ColorMap map = io::ColorMap::named(name);
    std::vector<std::uint8_t> table;
    for (int i = 0; i < 255; ++i)  // the middle one is that of 0
      for (const std::uint8_t value : map(static_cast<double>(i) / 127.0 - 1.0)) table.push_back(value);
    return Tensor({255, 3}, std::span<const std::uint8_t>(table));
  });
}

}  // namespace rulegrad::python
