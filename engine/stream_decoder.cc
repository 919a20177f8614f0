#include "engine/stream_decoder.h"

#include <algorithm>

#include "engine/base/text.h"

namespace hone {
namespace {

constexpr absl::string_view kReplacement = "\uFFFD";

}  // namespace

void TextTable::Append(absl::string_view text) {
  text_.append(text.data(), text.size());
  ends_.push_back(text_.size());
}

absl::string_view TextTable::operator[](size_t index) const {
  const size_t begin = index == 0 ? 0 : ends_[index - 1];
  return absl::string_view(text_).substr(begin, ends_[index] - begin);
}

void StreamDecoder::Push(TokenId token, std::string& text) {
  if (token < 0 || static_cast<size_t>(token) >= texts_->kinds.size()) return;
  const absl::string_view part = texts_->texts[token];
  switch (texts_->kinds[token]) {
    case TokenTexts::Kind::kNothing:
      return;
    case TokenTexts::Kind::kByte:
      held_.append(part.data(), part.size());
      if (texts_->bytes == TokenTexts::Bytes::kEach) EmitHeld(Ending::kGoesOn, text);
      return;
    case TokenTexts::Kind::kText:
    case TokenTexts::Kind::kVerbatim:
      break;
  }
  if (texts_->bytes == TokenTexts::Bytes::kStream) {
    held_.append(part.data(), part.size());
    EmitHeld(Ending::kGoesOn, text);
    return;
  }
  EmitHeld(Ending::kEnds, text);
  Emit(part, texts_->kinds[token], text);
}

void StreamDecoder::Finish(std::string& text) {
  EmitHeld(Ending::kEnds, text);
  begun_ = false;
  stripped_ = 0;
}

void StreamDecoder::Emit(absl::string_view part, TokenTexts::Kind kind, std::string& text) {
  if (!begun_ && kind == TokenTexts::Kind::kText) {
    const int most = std::min(texts_->leading_spaces - stripped_, texts_->leading_spaces_per_token);
    for (int spaces = 0; spaces < most && !part.empty() && part.front() == ' '; ++spaces, ++stripped_)
      part.remove_prefix(1);
  }
  begun_ |= !part.empty();
  text.append(part.data(), part.size());
}

void StreamDecoder::EmitHeld(Ending ending, std::string& text) {
  if (held_.empty()) return;
  if (texts_->bytes == TokenTexts::Bytes::kRun) {
    // Spaces made of bytes are spaces to the Strip of Hugging Face's tokenizers.
    if (FindInvalidUtf8(held_)) {
      for (size_t byte = 0; byte < held_.size(); ++byte) Emit(kReplacement, TokenTexts::Kind::kVerbatim, text);
    } else {
      Emit(held_, TokenTexts::Kind::kText, text);
    }
    held_.clear();
    return;
  }
  const bool one_by_one = texts_->bytes == TokenTexts::Bytes::kEach;
  size_t at = 0;
  while (at < held_.size()) {
    const Utf8Step step = ReadUtf8(held_, at);
    if (step.kind == Utf8Step::Kind::kCut && ending == Ending::kGoesOn) break;
    const bool whole = step.kind == Utf8Step::Kind::kCharacter;
    Emit(whole ? absl::string_view(held_).substr(at, step.bytes) : kReplacement, TokenTexts::Kind::kVerbatim, text);
    at += whole || !one_by_one ? step.bytes : 1;
  }
  held_.erase(0, at);
}

}  // namespace hone
