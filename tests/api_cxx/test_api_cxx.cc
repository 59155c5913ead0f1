// The public library from C++: the header compiles there with every warning on, structs are filled without designated
// initialisers, exceptions of the caller stay the caller's, and an embedding, a score and a run come out as from C.
// usage: test_api_cxx FIXTURES FOLDER
#include <genhance/genhance.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(genhance_status status) {
  if (status == GENHANCE_OK) return;
  throw std::runtime_error(std::string(genhance_status_name(status)) + ": " + genhance_last_error());
}

void require(bool condition, const char *what) {
  if (!condition) throw std::runtime_error(what);
}

template <typename T, void (*close)(T *)> struct closer {
  void operator()(T *object) const { close(object); }
};
template <typename T, void (*close)(T *)> using handle = std::unique_ptr<T, closer<T, close>>;
using device_handle = handle<genhance_device, genhance_device_close>;
using encoder_handle = handle<genhance_encoder, genhance_encoder_close>;
using training_handle = handle<genhance_training, genhance_training_close>;

device_handle open_device() {
  genhance_device *device = nullptr;
  check(genhance_device_open(&device, std::getenv("GH_TEST_DEVICE")));
  return device_handle(device);
}

void devices() {
  std::size_t count = 0;
  check(genhance_device_list(nullptr, 0, &count));
  std::vector<genhance_device_info> infos(count, GENHANCE_SIZED(genhance_device_info));
  check(genhance_device_list(infos.data(), infos.size(), &count));
  require(count >= 1 && infos[0].id[0] != 0, "no device is listed");
}

void embeddings(const std::string &fixtures) {
  device_handle device = open_device();
  genhance_encoder_options options = GENHANCE_SIZED(genhance_encoder_options);
  options.batch = 2;
  genhance_encoder *opened = nullptr;
  check(genhance_encoder_open(&opened, device.get(), (fixtures + "/text/clip").c_str(), &options));
  encoder_handle encoder(opened);
  const std::size_t width = genhance_encoder_width(encoder.get());
  const std::vector<std::uint8_t> grey(32 * 24 * 3, 128);
  std::vector<genhance_image> images(3, GENHANCE_SIZED(genhance_image));
  for (genhance_image &image : images) {
    image.rgb = grey.data();
    image.width = 32;
    image.height = 24;
  }
  std::vector<float> rows(images.size() * width, NAN);
  check(genhance_embed_images(encoder.get(), rows.data(), images.data(), images.size()));
  for (std::size_t i = 0; i < rows.size(); i++) require(rows[i] == rows[i % width], "equal pictures differ");
  const char *const lines[] = {"a dog", "two dogs"};
  std::vector<float> texts(2 * width, NAN);
  check(genhance_embed_texts(encoder.get(), texts.data(), lines, 2));
  for (float value : texts) require(std::isfinite(value), "a text's embedding is not finite");
}

int stop_at_once(void *user, const genhance_progress *progress) {
  *static_cast<std::int64_t *>(user) += progress->update;
  return 1;
}

void training(const std::string &fixtures, const std::string &folder) {
  const std::string tiny = fixtures + "/probe/tiny/";
  const std::string config =
      R"({"version": 1, "clip": ")" + tiny + R"(clip", "autoencoder": ")" + tiny + R"(ae.safetensors",
      "denoiser": {"double_blocks": 1, "single_blocks": 1, "hidden": 32, "heads": 2, "mlp_ratio": 2.0,
      "rope_axes": [4, 6, 6], "context_width": 24, "vector_width": 20},
      "data": {"images": [")" + fixtures + R"(/encode/images"], "workers": 1},
      "stage1": {"steps": 2, "batch": 2, "micro_batch": 2}, "stage2": {"steps": 0}})";
  const std::string output = "output=" + folder + "/run";
  const char *const overrides[] = {output.c_str(), "stage1.optimizer.lr=1e-3"};
  genhance_training *opened = nullptr;
  check(genhance_training_parse(&opened, config.c_str(), overrides, 2));
  training_handle run(opened);
  std::int64_t updates = 0;
  genhance_train_options options = GENHANCE_SIZED(genhance_train_options);
  options.progress = stop_at_once;
  options.user = &updates;
  require(genhance_training_run(run.get(), &options) == GENHANCE_ERROR_STOPPED, "the run was not stopped");
  options.resume = 1;
  check(genhance_training_run(run.get(), &options));
  genhance_stage_report report = GENHANCE_SIZED(genhance_stage_report);
  check(genhance_training_stage(run.get(), 1, &report));
  require(updates == 3 && report.updates == 2 && std::isfinite(report.last_loss), "the resumed run reports otherwise");
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  try {
    devices();
    embeddings(argv[1]);
    training(argv[1], argv[2]);
  } catch (const std::exception &failure) {
    std::fprintf(stderr, "FAILED: %s\n", failure.what());
    return 1;
  }
  return 0;
}
