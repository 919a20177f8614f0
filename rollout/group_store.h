// Groups as a file of a checkpoint: replay buffers, and groups that wait for a later step. Tokens and log-probabilities take four bytes each.
// Format: a name with its version, a checksum (FNV-1a, 64 bits), then CBOR, https://www.rfc-editor.org/rfc/rfc8949.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// Drops what only verifiers and people read, and what later parts of a step write anew: texts, reasons, values, advantages.
void Compact(Sample& sample);

// Bytes that a compact sample's vectors take, in memory as in the file.
size_t CompactBytes(const Sample& sample);

// Compact or not, what Compact leaves is written; and advantages, which a later step may have set again.
absl::Status WriteGroups(const std::string& path, std::span<const Group> groups);

// An input error that names the file where it is missing, cut short, changed, or of another version.
absl::StatusOr<std::vector<Group>> ReadGroups(const std::string& path);

}  // namespace hone
