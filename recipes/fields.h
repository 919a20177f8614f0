// Words for the recipe's schema, read from its Protobuf descriptors. For recipes/*.cc only.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "recipes/recipe.pb.h"

namespace hone {

// "stage" for hone.proto.Stage.
std::string MessageName(const google::protobuf::Descriptor& message);

// "no field 'stpes' in stage; did you mean 'steps'?", or the known names when none is near.
std::string NoField(const google::protobuf::Descriptor& message, absl::string_view found);

// "a whole number", "true or false", "text in quotes", "one of SFT, RL", "fields in braces".
std::string Wanted(const google::protobuf::FieldDescriptor& field);

// "no kind 'SFFT'; have: SFT, RL; did you mean 'SFT'?"
std::string NoEnumValue(const google::protobuf::FieldDescriptor& field, absl::string_view found);

// The stage's name, or "sft" or "rl"; "" when it has neither name nor kind.
std::string StageName(const proto::Stage& stage);

}  // namespace hone
