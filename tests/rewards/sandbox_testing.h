// For tests of what runs in the sandbox: is there one on this machine, and is everything as it was afterwards.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace hone {

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::set<std::string> Names(const std::string& folder, const std::string& prefix = "") {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(prefix)) names.insert(name);
  }
  return names;
}

// Processes whose command line holds `marker`, wherever they have moved.
inline int CountProcesses(const std::string& marker) {
  int count = 0;
  for (const std::string& pid : Names("/proc")) {
    if (pid[0] >= '0' && pid[0] <= '9' && ReadAll("/proc/" + pid + "/cmdline").find(marker) != std::string::npos)
      ++count;
  }
  return count;
}

// What a tested program must not change on the host.
struct HostState {
  size_t descriptors = Names("/proc/self/fd").size();
  std::string mounts = ReadAll("/proc/self/mountinfo");
  std::string children = ReadAll("/proc/self/task/" + std::to_string(getpid()) + "/children");
  std::set<std::string> scratch = Names(std::filesystem::temp_directory_path(), "hone-");
};

inline void ExpectUnchanged(const HostState& before) {
  const HostState now;
  EXPECT_EQ(now.descriptors, before.descriptors);
  EXPECT_EQ(now.mounts, before.mounts);
  EXPECT_EQ(now.children, before.children);
}

inline bool MaySkip() { return std::getenv("HONE_NO_SKIP") == nullptr; }

}  // namespace hone
