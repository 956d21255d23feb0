#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "files/codec.hpp"
#include "support/missing_feature.hpp"

#ifdef RULEGRAD_HAVE_JPEG
#include <csetjmp>
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jerror.h>
#include <jpeglib.h>
#endif

namespace rulegrad::io {

#ifdef RULEGRAD_HAVE_JPEG

namespace {

// TurboJPEG would be a package more for the same decoder, and stops at every warning or at none.
//
// libjpeg leaves through longjmp: see png.cpp on what may live where.
struct JpegReading {
  jpeg_error_mgr errors{};  // first, so that the handlers find the rest from the address of this
  jpeg_decompress_struct jpeg{};
  jpeg_progress_mgr progress{};
  std::jmp_buf escape{};
  char message[JMSG_LENGTH_MAX] = "";
  Picture picture;

  JpegReading() = default;
  JpegReading(const JpegReading&) = delete;
  JpegReading& operator=(const JpegReading&) = delete;
  ~JpegReading() { jpeg_destroy_decompress(&jpeg); }
};

JpegReading& state_of(j_common_ptr info) {
  return *static_cast<JpegReading*>(info->client_data);
}

[[noreturn]] void leave(j_common_ptr info) {
  JpegReading& state = state_of(info);
  info->err->format_message(info, state.message);
  std::longjmp(state.escape, 1);
}

[[noreturn]] void leave(JpegReading& state, const char* message) {
  std::snprintf(state.message, sizeof state.message, "%s", message);
  std::longjmp(state.escape, 1);
}

/// libjpeg invents pixels for damaged data and calls that a warning. Only those that leave the pixels alone
/// pass.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
      code == JWRN_BOGUS_ICC)
    return;
  leave(info);
}

void be_silent(j_common_ptr) {}

/// Each scan of a progressive file goes over the whole picture, and a few bytes are enough for one.
void count_scans(j_common_ptr info) {
  constexpr int most_scans = 100;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > most_scans)
    leave(state_of(info), "more than 100 scans");
}

bool decode(JpegReading& state, std::span<const std::byte> file) {
  jpeg_decompress_struct& jpeg = state.jpeg;
  if (setjmp(state.escape) != 0) return false;
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  state.progress.progress_monitor = count_scans;
  jpeg.progress = &state.progress;
  jpeg_read_header(&jpeg, TRUE);
  if (jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK)
    leave(state, "its colours are CMYK, which has no one meaning in RGB; convert it to RGB first");
  if (static_cast<std::int64_t>(jpeg.image_height) > most_pixels / jpeg.image_width)
    leave(state, "more than 2^27 pixels");
  jpeg.out_color_space = jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&jpeg);
  state.picture = Picture(jpeg.output_width, jpeg.output_height, jpeg.output_components);
  const std::size_t row = jpeg.output_width * static_cast<std::size_t>(jpeg.output_components);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW line = state.picture.pixels.data() + jpeg.output_scanline * row;
    jpeg_read_scanlines(&jpeg, &line, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

}  // namespace

Picture decode_jpeg(std::span<const std::byte> file, std::string_view where) {
  JpegReading state;
  state.jpeg.err = jpeg_std_error(&state.errors);
  state.jpeg.client_data = &state;
  state.errors.error_exit = [](j_common_ptr info) { leave(info); };
  state.errors.emit_message = on_message;
  state.errors.output_message = be_silent;
  if (!decode(state, file))
    throw Error(ErrorCode::io,
                fmt::format("[read_picture] '{}' is not a JPEG file that can be read: libjpeg says \"{}\"",
                            where, state.message));
  return std::move(state.picture);
}

#else

Picture decode_jpeg(std::span<const std::byte>, std::string_view where) {
  fail_missing_feature(fmt::format("read_picture '{}'", where), "jpeg");
}

#endif

}  // namespace rulegrad::io
