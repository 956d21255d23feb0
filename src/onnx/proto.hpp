#pragma once

// The messages of ONNX files, as Debian's libonnx-dev declares them.
#define ONNX_NAMESPACE onnx
#define ONNX_ML 1
#include <onnx/onnx_pb.h>
