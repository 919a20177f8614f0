// What fits every run and costs nothing where it does not help: earlier rollouts, and where they say nothing, the text itself.
#include "engine/base/check.h"
#include "engine/drafter.h"

namespace hone {
namespace {

class AutoDrafter : public Drafter {
 public:
  AutoDrafter(std::unique_ptr<Drafter> history, std::unique_ptr<Drafter> ngram)
      : history_(std::move(history)), ngram_(std::move(ngram)) {}

  void Begin(const kernels::SamplingFilter& filter) override { history_->Begin(filter); }

  void Propose(std::span<DraftRequest*> requests) override {
    history_->Propose(requests);
    std::vector<DraftRequest*> left;
    for (DraftRequest* request : requests) {
      if (request->draft.empty()) left.push_back(request);
    }
    ngram_->Propose(left);
  }

  void Learn(const Prompt& prompt, const Sample& sample) override { history_->Learn(prompt, sample); }

 private:
  std::unique_ptr<Drafter> history_, ngram_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Drafter>> NewAutoDrafter(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  absl::StatusOr<Spec> history = Spec::Parse("history"), ngram = Spec::Parse("ngram");
  HONE_CHECK(history.ok() && ngram.ok());
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Drafter> first, NewHistoryDrafter(*history));
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Drafter> second, NewNgramDrafter(*ngram));
  return std::make_unique<AutoDrafter>(std::move(first), std::move(second));
}

}  // namespace hone
