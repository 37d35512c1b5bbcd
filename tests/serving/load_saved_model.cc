// Asks a SavedModel with the loader that TensorFlow Serving uses; no Python.
//
//   load_saved_model FOLDER SIGNATURE IMAGE...
//
// prints, for each image, probability and label. All images are one batch. Whatever
// else the signature takes is missing: "" or NaN.

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.pb.h"
#include "tensorflow/core/platform/tstring.h"
#include "tensorflow/core/public/session.h"
#include "tensorflow/core/public/session_options.h"

namespace tf = tensorflow;

int main(int count, char** arguments) {
  if (count < 4) {
    std::fprintf(stderr, "Expected FOLDER SIGNATURE IMAGE...\n");
    return 2;
  }
  tf::SavedModelBundle bundle;
  tf::Status status = tf::LoadSavedModel(tf::SessionOptions(), tf::RunOptions(),
                                         arguments[1], {"serve"}, &bundle);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  const auto& signatures = bundle.meta_graph_def.signature_def();
  const auto found = signatures.find(arguments[2]);
  if (found == signatures.end()) {
    std::fprintf(stderr, "No signature %s\n", arguments[2]);
    return 1;
  }
  const int images = count - 3;
  std::vector<std::pair<std::string, tf::Tensor>> inputs;
  for (const auto& [name, info] : found->second.inputs()) {
    tf::Tensor values(info.dtype(), tf::TensorShape({images}));
    for (int i = 0; i < images; ++i) {
      if (info.dtype() == tf::DT_FLOAT) {
        values.vec<float>()(i) = std::nanf("");
      } else if (name == "image_bytes") {
        std::ifstream file(arguments[3 + i], std::ios::binary);
        values.vec<tf::tstring>()(i) = std::string(
            std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      }
    }
    inputs.emplace_back(info.name(), values);
  }
  const auto& outputs = found->second.outputs();
  std::vector<tf::Tensor> answers;
  status = bundle.session->Run(
      inputs, {outputs.at("probability").name(), outputs.at("label").name()}, {},
      &answers);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  for (int i = 0; i < images; ++i) {
    std::printf("%.9g %s\n", answers[0].vec<float>()(i),
                std::string(answers[1].vec<tf::tstring>()(i)).c_str());
  }
  return 0;
}
