#include <array>
#include <numbers>

#include "onnx/random_calls.hpp"
#include "onnx/writer.hpp"

// Random numbers, bit by bit those of random_numbers.cpp: Philox4x32-10 (Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3", section 3.3) in 64-bit integers, whose operators came with operator set 18.
// The logarithm, sine and cosine of normal numbers are each runtime's, which shows in float64 alone.
namespace rulegrad::io {
namespace {

constexpr std::int64_t low_bits = 0xFFFFFFFF;

std::int64_t low(std::int64_t value) {
  return value & low_bits;
}

/// The kinds of normal_pairs.hpp.
enum class Kind : std::int64_t { uniform, normal, index };

class Philox {
 public:
  Philox(Steps& steps, std::int64_t key, std::int64_t stream) : s_(steps), key_{low(key), low(stream)} {}

  /// Four numbers of 32 bits each for the elements [1, P] of rows [N, 1] and a sample.
  std::array<std::string, 4> block(const std::string& row, const std::string& sample, std::int64_t elements,
                                   Kind kind) {
    Ints places(static_cast<std::size_t>(elements));
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
    std::array<std::string, 4> c{matrix(places), bits(s_("Reshape", {row, s_.ints({-1, 1})})),
                                 bits(s_("Reshape", {sample, s_.ints({1, 1})})),
                                 matrix({static_cast<std::int64_t>(kind) << 8})};
    for (int round = 0; round < 10; ++round) {
      const auto [a_high, a_low] = product(0xD2511F53, c[0]);
      const auto [b_high, b_low] = product(0xCD9E8D57, c[2]);
      c = {either(either(b_high, c[1]), matrix({key_[0]})), b_low,
           either(either(a_high, c[3]), matrix({key_[1]})), a_low};
      key_[0] = low(key_[0] + 0x9E3779B9);
      key_[1] = low(key_[1] + 0xBB67AE85);
    }
    return c;
  }

  /// In [0, 1), from 53 of 64 bits.
  std::string unit(const std::string& high_part, const std::string& low_part) {
    const std::string upper = s_("Mul", {s_.cast(high_part, DType::float64), number(0x1p21)});
    const std::string lower = s_.cast(shifted(low_part, 11), DType::float64);
    return s_("Mul", {s_("Add", {upper, lower}), number(0x1p-53)});
  }

  std::string number(double value) { return s_.shared(Tensor::scalar(DType::float64, value)); }

 private:
  std::string matrix(const Ints& values) {
    return s_.shared(
        Tensor({1, static_cast<std::int64_t>(values.size())}, std::span<const std::int64_t>(values)));
  }
  std::string bits(const std::string& value) { return s_("BitwiseAnd", {value, matrix({low_bits})}); }
  std::string either(const std::string& a, const std::string& b) { return s_("BitwiseXor", {a, b}); }
  /// To the right, zeros from the left.
  std::string shifted(const std::string& value, std::int64_t by) {
    const auto to = [](std::int64_t type) { return [type](NodeWriter& n) { n.set("to", type); }; };
    const std::string plain = s_("Cast", {value}, to(onnx::TensorProto::UINT64));
    const std::string places = s_("Cast", {matrix({by})}, to(onnx::TensorProto::UINT64));
    const std::string moved =
        s_("BitShift", {plain, places}, [](NodeWriter& n) { n.set("direction", std::string("RIGHT")); });
    return s_("Cast", {moved}, to(onnx::TensorProto::INT64));
  }
  std::pair<std::string, std::string> product(std::int64_t factor, const std::string& value) {
    const std::string all = s_("Mul", {value, matrix({factor})});
    return {shifted(all, 32), bits(all)};
  }

  Steps& s_;
  std::array<std::int64_t, 2> key_;
};

/// The last node, by which they are known again (random_calls.hpp).
void end(Steps& s, Expr e, const std::string& numbers) {
  s.last("Identity", {numbers}, [&](NodeWriter& n) { n.mark(random_mark(e.op().name, e.attributes())); });
}

/// Without the batch.
std::int64_t elements_of(const Shape& shape) {
  std::int64_t product = 1;
  for (std::size_t axis = 1; axis < shape.rank(); ++axis) product *= shape[axis].factor;
  return product;
}

void write_uniform(Writer& w, Expr e) {
  w.need(e, 18);
  const auto& a = e.attributes<RandomAttributes>();
  Steps s(w, e);
  Philox philox(s, a.key, a.stream);
  const auto c = philox.block(s.operand(0), s.operand(1), elements_of(e.shape()), Kind::uniform);
  end(s, e, s.reshape(s.cast(philox.unit(c[0], c[1]), e.dtype()), e.shape()));
}

/// Two from each block (Box and Muller).
void write_normal(Writer& w, Expr e) {
  w.need(e, 18);
  const auto& a = e.attributes<RandomAttributes>();
  const std::int64_t count = elements_of(e.shape()), pairs = (count + 1) / 2;
  Steps s(w, e);
  Philox philox(s, a.key, a.stream);
  const auto c = philox.block(s.operand(0), s.operand(1), pairs, Kind::normal);
  const std::string rest = s("Sub", {philox.number(1), philox.unit(c[0], c[1])});
  const std::string radius = s("Sqrt", {s("Mul", {s("Log", {rest}), philox.number(-2)})});
  const std::string angle = s("Mul", {philox.unit(c[2], c[3]), philox.number(2 * std::numbers::pi)});
  const auto side = [&](const char* function) {
    return s("Unsqueeze", {s("Mul", {radius, s(function, {angle})}), s.ints({2})});
  };
  const std::string even = side("Cos"), odd = side("Sin");
  std::string numbers = s("Concat", {even, odd}, [](NodeWriter& n) { n.set("axis", std::int64_t{2}); });
  numbers = s.cast(s.reshape(numbers, Shape{e.shape()[0], Dim(2 * pairs)}), e.dtype());
  if (2 * pairs != count) numbers = s("Slice", {numbers, s.ints({0}), s.ints({count}), s.ints({1})});
  end(s, e, s.reshape(numbers, e.shape()));
}

void write_index(Writer& w, Expr e) {
  w.need(e, 18);
  const auto& a = e.attributes<RandomIndexAttributes>();
  Steps s(w, e);
  Philox philox(s, a.key, a.stream);
  const auto c = philox.block(s.operand(0), s.operand(1), 1, Kind::index);
  const std::string scaled = s("Mul", {philox.unit(c[0], c[1]), philox.number(static_cast<double>(a.count))});
  end(s, e, s.reshape(s.cast(scaled, DType::int64), e.shape()));
}

}  // namespace

void add_random_forms(Forms& f) {
  f["random_uniform"] = write_uniform;
  f["random_normal"] = write_normal;
  f["random_index"] = write_index;
}

}  // namespace rulegrad::io
