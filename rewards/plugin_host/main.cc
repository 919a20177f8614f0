// hone-plugin-host: a verifier in a shared library (rewards/verifier_abi.h), made to speak the line protocol of processes.
//
//   hone-plugin-host check|serve LIBRARY OPTIONS
//
// "check" only loads the library and makes its verifier. Whatever is wrong with the library is one line on standard error and exit status 1.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "rewards/verifier_abi.h"

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxParts = 64;

struct Plugin {
  decltype(&hone_verifier_verify) verify = nullptr;
  decltype(&hone_verifier_free) free = nullptr;
  void* verifier = nullptr;
};

// Says what is wrong and ends; nothing of the library runs any more.
[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::fflush(stderr);
  _exit(1);
}

template <typename Function>
Function* Find(void* library, const std::string& path, const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr)
    Fail(path + ": has no function '" + name + "'; rewards/verifier_abi.h lists what a plugin exports");
  return reinterpret_cast<Function*>(found);
}

// What a C++ plugin throws must not cross the border, but where it does the answer tells what was thrown.
template <typename Call>
std::string Thrown(Call call) {
  try {
    call();
    return "";
  } catch (const std::exception& error) {
    return std::string("the plugin threw: ") + error.what();
  } catch (...) {
    return "the plugin threw something that is no std::exception";
  }
}

Plugin Load(const std::string& path, const std::string& options) {
  if (access(path.c_str(), R_OK) != 0) Fail(path + ": cannot read: " + std::strerror(errno));
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) Fail("cannot load the library: " + std::string(dlerror()));
  const auto version = Find<uint32_t()>(library, path, "hone_verifier_abi_version");
  uint32_t found = 0;
  if (const std::string thrown = Thrown([&] { found = version(); }); !thrown.empty()) Fail(path + ": " + thrown);
  if (found != HONE_VERIFIER_ABI_VERSION) {
    Fail(path + ": is made for version " + std::to_string(found) + " of rewards/verifier_abi.h, this is version " +
         std::to_string(HONE_VERIFIER_ABI_VERSION) + ": compile it with this header");
  }
  Plugin plugin;
  const auto make = Find<void*(const char*, const char**)>(library, path, "hone_verifier_new");
  plugin.verify = Find<int(void*, const hone_sample*, hone_verdict*)>(library, path, "hone_verifier_verify");
  plugin.free = Find<void(void*)>(library, path, "hone_verifier_free");
  const char* error = nullptr;
  const std::string thrown = Thrown([&] { plugin.verifier = make(options.c_str(), &error); });
  if (!thrown.empty()) Fail(path + ": " + thrown);
  if (plugin.verifier == nullptr)
    Fail(path + ": hone_verifier_new: " + (error != nullptr ? error : "gave no verifier and no reason"));
  return plugin;
}

hone_text TextOf(const Json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_string()) return {"", 0};
  const auto& text = found->get_ref<const std::string&>();
  return {text.c_str(), text.size()};
}

Json Ask(const Plugin& plugin, const Json& line) {
  const auto found = line.find("metadata");
  const std::string metadata = found == line.end() ? "{}" : found->dump(-1, ' ', false, Json::error_handler_t::replace);
  const hone_sample sample = {sizeof(sample),
                              TextOf(line, "prompt"),
                              TextOf(line, "completion"),
                              TextOf(line, "answer"),
                              {metadata.c_str(), metadata.size()}};
  hone_verdict verdict = {};
  verdict.size = sizeof(verdict);
  int status = 0;
  const std::string thrown = Thrown([&] { status = plugin.verify(plugin.verifier, &sample, &verdict); });
  if (!thrown.empty()) return {{"error", thrown}};
  const std::string reason = verdict.reason != nullptr ? verdict.reason : "";
  if (status != 0) return {{"error", reason.empty() ? "the plugin gave no verdict and no reason" : reason}};
  if (verdict.part_count > kMaxParts)
    return {{"error", "the plugin gave " + std::to_string(verdict.part_count) + " parts"}};
  // NaN and infinities become null, which the other side refuses by name.
  Json answer = {{"score", verdict.score}, {"reason", reason}, {"parts", Json::object()}};
  for (size_t i = 0; i < verdict.part_count; ++i) answer["parts"][verdict.part_names[i]] = verdict.part_values[i];
  return answer;
}

// The answers go where standard output went; what the library prints goes to standard error.
int Serve(const Plugin& plugin, int answers) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json request = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!request.is_object() || !request.contains("id")) Fail("hone-plugin-host: got a line that is no request");
    Json answer = Ask(plugin, request);
    answer["id"] = request["id"];
    const std::string text = answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (size_t at = 0; at < text.size();) {
      const ssize_t written = write(answers, text.data() + at, text.size() - at);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return 1;
      at += static_cast<size_t>(written);
    }
  }
  plugin.free(plugin.verifier);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) Fail("usage: hone-plugin-host check|serve LIBRARY OPTIONS");
  std::ios::sync_with_stdio(false);
  const int answers = dup(STDOUT_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  const Plugin plugin = Load(argv[2], argv[3]);
  if (std::strcmp(argv[1], "check") == 0) return 0;
  const int status = Serve(plugin, answers);
  std::fflush(stdout);
  _exit(status);  // a library's own endings cannot hang what is over
}
