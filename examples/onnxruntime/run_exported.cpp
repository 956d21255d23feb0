// Prediction and explanation from an exported file, by onnxruntime's C++ interface and without rulegrad.
// Debian 13 has it: libonnxruntime-dev.
//
//   rulegrad export fashion.onnx --method gradient --target given --output heat.onnx
//   g++ -std=c++20 run_exported.cpp $(pkg-config --cflags --libs libonnxruntime) -o run_exported
//   ./run_exported heat.onnx 3 < sample.raw
//
// sample.raw holds one sample: float32, row-major.
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <onnxruntime_cxx_api.h>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: run_exported HEAT.onnx TARGET < SAMPLE.raw\n"), 2;
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "run_exported");
  Ort::Session session(env, argv[1], Ort::SessionOptions{});
  std::vector<std::int64_t> shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
  shape[0] = 1;  // any number of samples at once
  std::vector<float> x(std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>()));
  if (std::fread(x.data(), sizeof(float), x.size(), stdin) != x.size())
    return std::fprintf(stderr, "a sample is %zu float32 numbers\n", x.size()), 2;
  std::vector<std::int64_t> target{std::atoll(argv[2])}, batch{1};

  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < session.GetOutputCount(); ++i)
    names.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  std::vector<const char*> outputs;
  for (const std::string& name : names) outputs.push_back(name.c_str());
  const std::string first = session.GetInputNameAllocated(0, allocator).get();
  const char* inputs[] = {first.c_str(), "target"};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const Ort::Value values[] = {
      Ort::Value::CreateTensor<float>(memory, x.data(), x.size(), shape.data(), shape.size()),
      Ort::Value::CreateTensor<std::int64_t>(memory, target.data(), 1, batch.data(), 1)};
  const auto found = session.Run(Ort::RunOptions{}, inputs, values, 2, outputs.data(), outputs.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float* const data = found[i].GetTensorData<float>();
    const std::size_t count = found[i].GetTensorTypeAndShapeInfo().GetElementCount();
    if (i == 0) {
      std::printf("%s", names[i].c_str());
      for (std::size_t k = 0; k < count; ++k) std::printf(" %.6g", data[k]);
      std::printf("\n");
    } else {
      std::printf("%s: %zu numbers, sum %.6g\n", names[i].c_str(), count,
                  std::accumulate(data, data + count, 0.0));
    }
  }
  return 0;
} catch (const Ort::Exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
