// Networks of images whose norms and poolings exporters and people write in more than one way: batch, instance, group,
// layer and RMS norm over channels, before and behind layers; maxima and means over windows, everything, or what an adaptive
// pooling asks for.
#include "property/spelling_trials.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t channels = 4, rows = 4, columns = 6;
const Shape whole{B, channels, rows, columns};

class ImageParts {
 public:
  ImageParts(Speller& spell, Graph& graph) : spell_(spell), graph_(graph) {}

  static constexpr std::size_t norms = 8, pools = 8;

  Expr weight(Dims dims, double scale = 1) { return weight_(graph_, std::move(dims), scale); }
  Expr layer(Expr x) { return conv(x, weight({channels, channels, 1, 1}), weight({channels}, 0.3)); }

  Expr norm(std::size_t which, Expr x) {
    switch (which) {
      case 0:
        return batch_norm(x);
      case 1:
        return group_norm(x, channels);
      case 2:
        return group_norm(x, 2);
      case 3:
        return group_norm(x, 1);
      case 4:
        return layer_norm(x);
      case 5:
        return rms_norm(x, {1});
      case 6:
        return rms_norm(x, {1, 2, 3});
      default:
        return response_norm(x);
    }
  }

  /// `ties`: some of x are equal, as behind a ReLU. Of two equal values max takes half each, a pooling the first.
  Expr pool(std::size_t which, Expr x, bool ties = false) {
    ties_ = ties;
    switch (which) {
      case 0:
        return largest(x, 2, 2);
      case 1:
        return largest(x, 2, 3);
      case 2:
        return average(x, 2, 2);
      case 3:
        return average(x, 2, 3);
      case 4:
        return padded_average(x);
      case 5:
        return largest(x, rows, columns);
      case 6:
        return average(x, rows, columns);
      default:
        return uneven(x);
    }
  }

  /// The mean over places, [B, 4].
  Expr squeezed(Expr x) {
    const std::int64_t height = x.shape()[2].factor, width = x.shape()[3].factor;
    return reshape(average(x, height, width), Shape{B, channels});
  }

 private:
  Expr number(double value) { return graph_.scalar(value, DType::float64); }
  Expr column(Expr v) {
    return spell_.coin() ? reshape(v, Shape{1, channels, 1, 1}) : reshape(v, Shape{channels, 1, 1});
  }
  Expr last(Expr x) { return transpose(x, {0, 2, 3, 1}); }
  Expr front(Expr x) { return transpose(x, {0, 3, 1, 2}); }
  Expr all(double value, Dims dims) {
    return graph_.constant(Tensor::full(DType::float64, std::move(dims), value));
  }

  Expr batch_norm(Expr x) {
    const Expr k = weight({channels}, 1.5), s = weight({channels}), m = weight({channels}, 0.5);
    const Expr v = rulegrad::exp(weight({channels}));
    const double epsilon = 1e-3;
    const Expr deviation = rulegrad::sqrt(v + number(epsilon)), factor = k / deviation,
               shift = s - m * factor;
    switch (spell_.pick(9)) {
      case 1:
        return spell_.add(spell_.mul(x, column(factor)), column(shift));
      case 2:
        return front(spell_.add(spell_.mul(last(x), factor), shift));
      case 3:
        return spell_.add(spell_.mul(spell_.over(x - column(m), column(deviation)), column(k)), column(s));
      case 4:
        return front(spell_.add(spell_.product({last(x) - m, number(1) / deviation, k}), s));
      case 5: {
        ConvAttributes each;
        each.groups = channels;
        return spell_.apply("conv", {x, reshape(factor, Shape{channels, 1, 1, 1}), shift}, each);
      }
      case 6:
        return spell_.mul(spell_.add(x, column(shift / factor)), column(factor));
      case 7:
        return front(spell_.apply("batch_norm", {last(x), k, s, m, v}, BatchNormAttributes{epsilon, 3}));
      case 8:
        return spell_.mul(x, column(factor)) - column(-shift);
      default:
        return spell_.apply("batch_norm", {x, k, s, m, v}, BatchNormAttributes{epsilon, 1});
    }
  }

  /// (x - mean) / sqrt(variance + 1e-5) w + b, w and b beside x.
  Expr normalised(Expr x, const Ints& axes, Expr w, Expr b) {
    const Expr m = mean(x, axes, true), d = x - m;
    const Expr variance = spell_.pick(3) == 2 ? mean(spell_.square(x), axes, true) - spell_.square(m)
                                              : mean(spell_.square(d), axes, true);
    const Expr v = spell_.add(variance, number(1e-5));
    switch (spell_.pick(4)) {
      case 1: {
        const Expr inverse = spell_.mul(spell_.apply("reciprocal", {rulegrad::sqrt(v)}), w);
        return spell_.add(spell_.mul(x, inverse), b - spell_.mul(m, inverse));
      }
      case 2:
        return spell_.add(spell_.product({d, spell_.apply("pow", {v, number(-0.5)}), w}), b);
      default:
        return spell_.add(spell_.mul(spell_.over(d, rulegrad::sqrt(v)), w), b);
    }
  }
  Expr operator_norm(Expr x, std::int64_t axis, Expr w, Expr b) {
    return spell_.apply("layer_norm", {x, w, b}, LayerNormAttributes{axis, 1e-5});
  }
  Expr layer_norm(Expr x) {
    const Expr w = weight({channels}), b = weight({channels});
    switch (spell_.pick(3)) {
      case 1:
        return normalised(x, {1}, column(w), column(b));
      case 2:
        return front(normalised(last(x), {3}, w, b));
      default:
        return front(operator_norm(last(x), 3, w, b));
    }
  }
  Expr group_norm(Expr x, std::int64_t groups) {
    const Expr w = weight({channels}), b = weight({channels}), one = number(1), none = number(0);
    const Shape flat{B, groups, channels / groups * rows * columns},
        grouped{B, groups, channels / groups, rows, columns};
    const auto behind = [&](Expr n) {
      return spell_.add(spell_.mul(reshape(n, whole), column(w)), column(b));
    };
    switch (spell_.pick(5)) {
      case 1:
        return behind(normalised(reshape(x, flat), {2}, one, none));
      case 2:
        return behind(normalised(reshape(x, grouped), {2, 3, 4}, one, none));
      case 3:
        if (groups == channels) return normalised(x, {2, 3}, column(w), column(b));
        return behind(operator_norm(reshape(x, grouped), 2, one, none));
      case 4:  // factor and shift beside channels that stand last
        return front(spell_.add(
            spell_.mul(last(reshape(operator_norm(reshape(x, flat), 2, one, none), whole)), w), b));
      default:
        return behind(operator_norm(reshape(x, flat), 2, one, none));
    }
  }
  Expr rms_norm(Expr x, const Ints& axes) {
    const Expr w = weight({channels});
    const auto over = [&](Expr v, const Ints& along, Expr factor) {
      const Expr s = spell_.add(mean(spell_.square(v), along, true), number(1e-6));
      switch (spell_.pick(4)) {
        case 1:
          return spell_.mul(v, spell_.mul(spell_.apply("pow", {s, number(-0.5)}), factor));
        case 2:
          return spell_.mul(spell_.mul(factor, v), spell_.apply("reciprocal", {rulegrad::sqrt(s)}));
        case 3:
          return spell_.mul(spell_.over(v, spell_.apply("pow", {s, number(0.5)})), factor);
        default:
          return spell_.mul(v / rulegrad::sqrt(s), factor);
      }
    };
    if (axes.size() == 1 && spell_.coin()) return front(over(last(x), {3}, w));
    if (axes.size() == 3 && spell_.coin()) {
      const Expr one = number(1);
      return spell_.mul(reshape(over(reshape(x, Shape{B, channels * rows * columns}), {1}, one), whole),
                        column(w));
    }
    return over(x, axes, column(w));
  }
  /// Each channel times its length over the mean length, as in ConvNeXt V2.
  Expr response_norm(Expr x) {
    const Expr w = weight({channels}), b = weight({channels});
    const Expr length = rulegrad::sqrt(spell_.add(sum(spell_.square(x), {2, 3}, true), number(1e-6)));
    const Expr share = spell_.over(length, spell_.add(mean(length, {1}, true), number(1e-6)));
    const Expr scaled =
        spell_.coin() ? spell_.product({x, share, column(w)}) : spell_.mul(spell_.mul(column(w), share), x);
    return spell_.add(spell_.add(scaled, column(b)), x);
  }

  /// Axes 3 and 5 are those of the windows.
  static Expr windowed(Expr x, std::int64_t height, std::int64_t width) {
    return reshape(
        x, Shape{B, channels, x.shape()[2].factor / height, height, x.shape()[3].factor / width, width});
  }
  /// Every `height`-th row and `width`-th column, from each of the first ones on.
  std::vector<Expr> slices(Expr x, std::int64_t height, std::int64_t width) {
    const Ints ends{x.shape()[2].factor, x.shape()[3].factor};
    std::vector<Expr> result;
    for (std::int64_t i = 0; i < height; ++i)
      for (std::int64_t j = 0; j < width; ++j)
        result.push_back(spell_.apply("slice", {x}, SliceAttributes{{2, 3}, {i, j}, ends, {height, width}}));
    return result;
  }

  Expr largest(Expr x, std::int64_t height, std::int64_t width) {
    const auto window = [](Expr v, std::int64_t h, std::int64_t w) {
      PoolAttributes pool;
      pool.kernel = pool.strides = {h, w};
      return max_pool(v, pool);
    };
    const bool global = height == x.shape()[2].factor && width == x.shape()[3].factor;
    switch (spell_.pick(6)) {
      case 1:
        return amax(windowed(x, height, width), {3, 5});
      case 2:
        return amax(amax(windowed(x, height, width), {5}), {3});
      case 3:
        return window(window(x, 1, width), height, 1);
      case 4:
        return global ? amax(x, {2, 3}, true) : window(window(x, height, 1), 1, width);
      case 5: {
        if (global) return amax(amax(x, {3}, true), {2}, true);
        if (ties_) return window(x, height, width);
        const std::vector<Expr> parts = slices(x, height, width);
        Expr result = parts[0];
        for (std::size_t i = 1; i < parts.size(); ++i)
          result = spell_.coin() ? rulegrad::max(result, parts[i]) : rulegrad::max(parts[i], result);
        return result;
      }
      default:
        return window(x, height, width);
    }
  }

  Expr average(Expr x, std::int64_t height, std::int64_t width) {
    const auto window = [](Expr v, std::int64_t h, std::int64_t w) {
      AvgPoolAttributes pool;
      pool.kernel = pool.strides = {h, w};
      return avg_pool(v, pool);
    };
    const double share = 1.0 / static_cast<double>(height * width);
    const bool global = height == x.shape()[2].factor && width == x.shape()[3].factor;
    switch (spell_.pick(8)) {
      case 1:
        return mean(windowed(x, height, width), {3, 5});
      case 2:
        return spell_.scaled(sum(windowed(x, height, width), {5, 3}), share);
      case 3:
        return window(window(x, height, 1), 1, width);
      case 4: {
        ConvAttributes each;
        each.groups = channels;
        each.strides = {height, width};
        return spell_.apply("conv", {x, all(share, {channels, 1, height, width})}, each);
      }
      case 5: {
        const std::vector<Expr> parts = slices(x, height, width);
        Expr total = parts[0];
        for (std::size_t i = 1; i < parts.size(); ++i) total = spell_.add(total, parts[i]);
        return spell_.scaled(total, share);
      }
      case 6:
        return global ? mean(x, {2, 3}, true) : mean(mean(windowed(x, height, width), {3}), {4});
      case 7: {
        if (!global) return window(x, height, width);
        const Expr flat = reshape(x, Shape{B, channels, height * width});
        const Expr shares = all(share, {1, height * width});
        const Expr pooled = spell_.coin() ? dense(flat, shares) : matmul(flat, transpose(shares, {1, 0}));
        return reshape(pooled, Shape{B, channels, 1, 1});
      }
      default:
        return window(x, height, width);
    }
  }

  /// Windows of 3 by 3 around every place, with zeros around the picture.
  Expr padded_average(Expr x) {
    AvgPoolAttributes pool;
    pool.kernel = {3, 3};
    pool.strides = {1, 1};
    pool.pads_begin = pool.pads_end = {1, 1};
    pool.count_padding = true;
    AvgPoolAttributes bare = pool;
    bare.pads_begin = bare.pads_end = {0, 0};
    ConvAttributes each;
    each.groups = channels;
    each.pads_begin = each.pads_end = {1, 1};
    switch (spell_.pick(3)) {
      case 1:
        return avg_pool(spell_.apply("pad", {x}, PadAttributes{{0, 0, 1, 1}, {0, 0, 1, 1}}), bare);
      case 2:
        return spell_.apply("conv", {x, all(1.0 / 9, {channels, 1, 3, 3})}, each);
      default:
        return avg_pool(x, pool);
    }
  }

  /// An adaptive pooling to three rows and four columns: windows of 2 by 2 that overlap.
  Expr uneven(Expr x) {
    const Ints row_starts{0, 1, 2}, column_starts{0, 1, 3, 4};
    const auto part = [&](Expr v, std::int64_t axis, std::int64_t from) {
      return spell_.apply("slice", {v}, SliceAttributes{{axis}, {from}, {from + 2}, {1}});
    };
    const auto along = [&](Expr v, std::int64_t axis, const Ints& starts) {
      std::vector<Expr> parts;
      for (const std::int64_t from : starts) parts.push_back(mean(part(v, axis, from), {axis}, true));
      return concat(parts, axis);
    };
    if (spell_.coin()) return along(along(x, 3, column_starts), 2, row_starts);
    if (spell_.coin()) return along(along(x, 2, row_starts), 3, column_starts);
    std::vector<Expr> lines;
    for (const std::int64_t row : row_starts) {
      std::vector<Expr> places;
      for (const std::int64_t col : column_starts)
        places.push_back(average(part(part(x, 2, row), 3, col), 2, 2));
      lines.push_back(concat(places, 3));
    }
    return concat(lines, 2);
  }

  Speller& spell_;
  Graph& graph_;
  Weights weight_;
  bool ties_ = false;
};

/// Where the norm or the pooling stands: behind a layer, behind its ReLU, on the picture itself, beside a shortcut.
constexpr std::size_t norm_places = 4, pool_places = 3;
constexpr std::size_t norm_kinds = norm_places * ImageParts::norms,
                      pool_kinds = pool_places * ImageParts::pools;

Expr picture_of(Spelt& net) {
  net.x = net.graph.input("x", {DType::float64, Shape{B, 16, 6}});
  return reshape(net.x, whole);
}

void build_norms(Spelt& net, std::uint64_t seed, std::size_t which) {
  Speller spell(seed);
  ImageParts parts(spell, net.graph);
  Expr h = picture_of(net);
  const std::size_t norm = which % ImageParts::norms;
  switch (which / ImageParts::norms) {
    case 0:
      h = spell.relu(parts.norm(norm, parts.layer(h)));
      break;
    case 1:
      h = parts.layer(parts.norm(norm, spell.relu(parts.layer(h))));
      break;
    case 2:
      h = parts.layer(spell.relu(parts.norm(norm, h)));
      break;
    default:
      h = spell.relu(parts.layer(h));
      h = spell.relu(spell.add(h, parts.norm(norm, parts.layer(h))));
  }
  h = spell.relu(parts.layer(h));
  net.y = dense(parts.squeezed(h), parts.weight({3, channels}), parts.weight({3}));
}

void build_pools(Spelt& net, std::uint64_t seed, std::size_t which) {
  Speller spell(seed);
  ImageParts parts(spell, net.graph);
  Expr h = picture_of(net);
  const std::size_t pool = which % ImageParts::pools;
  switch (which / ImageParts::pools) {
    case 0:
      h = parts.pool(pool, parts.layer(h));
      break;
    case 1:
      h = parts.pool(pool, spell.relu(parts.norm(0, parts.layer(h))), true);
      break;
    default:
      h = spell.relu(parts.norm(0, parts.pool(pool, parts.layer(h))));
  }
  h = spell.relu(parts.layer(h));
  net.y = dense(parts.squeezed(h), parts.weight({3, channels}), parts.weight({3}));
}

}  // namespace

TEST_CASE("random spellings of norms of images get the same attribution or an error") {
  try_spellings(build_norms, norm_kinds, image_methods(), {.dims = {2, 16, 6}});
}

TEST_CASE("random spellings of pooling get the same attribution or an error") {
  // A maximum of two values is refused.
  try_spellings(build_pools, pool_kinds, image_methods(), {.dims = {2, 16, 6}, .refusing = "deeplift."});
}
