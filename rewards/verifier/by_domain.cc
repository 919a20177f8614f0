// The verifier that a prompt's metadata names, for data of several domains (as in Tulu 3's mixture, https://arxiv.org/abs/2411.15124):
//
//   by_domain(key=data_source, gsm8k=gsm8k, "HuggingFaceH4/MATH-500"=math(timeout=1), default=exact)
//
// sends a prompt with {"data_source": "gsm8k"} to `gsm8k`. Names that are not words stand in quotes. Every option but `key` and `default`
// is a domain, so domains of these two names need another key.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;
constexpr size_t kShownDomains = 200;  // bytes of the list of all of them

struct Domain {
  std::string name;
  std::unique_ptr<Verifier> verifier;
};

class ByDomainVerifier : public Verifier {
 public:
  // `fallback` may be null: then other domains have no verdict.
  ByDomainVerifier(std::string key, std::vector<Domain> domains, std::unique_ptr<Verifier> fallback)
      : key_(std::move(key)), domains_(std::move(domains)), fallback_(std::move(fallback)) {}

  // Parts: the score under the domain's name, followed by its verifier's parts as "domain/part"; what goes to `default` is one domain.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto domain = ReadDomain(prompt.metadata);
    if (!domain.ok()) return {std::nullopt, std::string(domain.status().message()), {}};
    const auto same = [&](const Domain& each) { return each.name == *domain; };
    const auto found = std::find_if(domains_.begin(), domains_.end(), same);
    const bool is_known = found != domains_.end();
    if (!is_known && fallback_ == nullptr) return {std::nullopt, Unknown(*domain), {}};

    const std::string name = is_known ? found->name : "default";
    Verdict verdict = (is_known ? found->verifier : fallback_)->Verify(prompt, completion);
    if (!verdict.score) return {std::nullopt, absl::StrCat(name, ": ", verdict.reason), {}};
    for (auto& [part, value] : verdict.parts) part = absl::StrCat(name, "/", part);
    verdict.parts.insert(verdict.parts.begin(), {name, *verdict.score});
    return verdict;
  }

  int Concurrency() const override {
    int most = fallback_ == nullptr ? 0 : fallback_->Concurrency();
    for (const Domain& domain : domains_) most = std::max(most, domain.verifier->Concurrency());
    return most;
  }

  VerifierCounters Counters() const override {
    VerifierCounters sum = fallback_ == nullptr ? VerifierCounters() : fallback_->Counters();
    for (const Domain& domain : domains_) AddCounters(domain.verifier->Counters(), sum);
    return sum;
  }

 private:
  absl::StatusOr<std::string> ReadDomain(const std::string& metadata) const {
    if (NestsTooDeep(metadata)) return InputError("metadata nests more than ", kDeepestJson, " deep");
    const auto json = nlohmann::json::parse(metadata, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return InputError("metadata is not a JSON object with \"", Shown(key_), "\"");
    const auto found = json.find(key_);
    if (found == json.end() || !found->is_string()) {
      return InputError("metadata needs \"", Shown(key_), "\", the name of the prompt's domain");
    }
    return found->get<std::string>();
  }

  std::string Unknown(const std::string& domain) const {
    const auto append_name = [](std::string* out, const Domain& each) { out->append(each.name); };
    return absl::StrCat("no verifier for ", Shown(key_), " '", Shown(domain),
                        "'; have: ", Visible(absl::StrJoin(domains_, ", ", append_name), kShownDomains),
                        "; or give a default=...");
  }

  static std::string Shown(const std::string& text) { return Visible(text, kShownBytes); }

  const std::string key_;
  const std::vector<Domain> domains_;
  const std::unique_ptr<Verifier> fallback_;
};

// The verifier that stands at an option of by_domain.
absl::StatusOr<std::unique_ptr<Verifier>> BuildOption(Spec& spec, const std::string& option, const std::string& value,
                                                      const VerifierBuilder& build) {
  std::string resolved;
  auto verifier = build(value, &resolved);
  if (!verifier.ok()) {
    const absl::string_view message = verifier.status().message();
    const bool says_option = absl::StartsWith(message, option + ":");
    return InputError("by_domain: ", says_option ? "" : Visible(option, kShownBytes) + ": ", message);
  }
  spec.Resolve(option, resolved);
  return verifier;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewByDomainVerifier(Spec& spec, const VerifierBuilder& build) {
  const std::string key = spec.Text("key", "data_source");
  const std::string fallback_spec = spec.Text("default", "");  // none
  std::vector<Domain> domains;
  for (const std::string& name : spec.Unread()) {
    HONE_ASSIGN_OR_RETURN(auto verifier, BuildOption(spec, name, spec.Text(name, ""), build));
    domains.push_back({name, std::move(verifier)});
  }
  std::unique_ptr<Verifier> fallback;
  if (!fallback_spec.empty()) {
    HONE_ASSIGN_OR_RETURN(fallback, BuildOption(spec, "default", fallback_spec, build));
  }
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (domains.empty()) {
    return InputError("by_domain: needs domains and their verifiers, like by_domain(key=", key,
                      ", gsm8k=gsm8k, default=exact)");
  }
  return std::make_unique<ByDomainVerifier>(key, std::move(domains), std::move(fallback));
}

}  // namespace hone
