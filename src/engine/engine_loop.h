#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/engine_metrics.h"
#include "engine/scheduler.h"
#include "model/model.h"

namespace baltoro {

// What the engine thread does: a step decodes one token of every answer that has its prompt, then
// computes one chunk of one prompt; tokens are drawn and become events. Engine thread only.
class EngineLoop {
  public:
    // The model must outlive the loop.
    EngineLoop(Model& model, const EngineOptions& options, int context_size);

    // The calling thread is the engine thread from here on.
    void take_over() { model_.take_over(); }

    void add(std::unique_ptr<Answer> answer);

    // Frees what was cancelled, then computes. Failures of the model end the answers concerned.
    void step();

    // Sends what step() left; answers that have ended are gone afterwards. Separate, so that
    // figures are published before a consumer learns that its answer has ended.
    void send_events();

    // Ends everything with this error, and sends it.
    void fail_all(const std::string& message);

    bool is_idle() const noexcept { return scheduler_.is_idle(); }
    const Scheduler& scheduler() const noexcept { return scheduler_; }
    const EngineMetrics& metrics() const noexcept { return metrics_; }

  private:
    Answer& of(const Sequence& sequence) noexcept {
        return *answers_[static_cast<std::size_t>(sequence.answer_idx)];
    }
    void drop_cancelled();
    void begin(Answer& answer);
    void decode(std::span<Sequence* const> sequences);
    void prefill(const StepPlan& plan);
    void use_prompt_logits(Answer& answer, int first_scored, bool draws);
    void score_prompt(Answer& answer, int first_row, std::span<const float> logits);
    bool run_model(StepKind kind);
    void take_logits(Answer& answer, std::span<const float> logits);
    void continue_answer(Answer& answer, std::span<const float> logits);
    void note_prompt(const Answer& answer);
    void note_token(Answer& answer);
    void finish(Answer& answer, FinishReason reason);
    void fail(Answer& answer, const std::string& message);
    void end(Answer& answer, FinishReason reason);
    void update_gauges() noexcept;
    void note_decoding(int n_tokens, double duration_s) noexcept;

    Model& model_;
    int context_size_;
    std::vector<std::int32_t> stop_ids_;
    Scheduler scheduler_;
    EngineMetrics metrics_;
    std::vector<std::unique_ptr<Answer>> answers_;  // by Sequence::answer_idx; null: free
    std::vector<int> free_idxs_;
    std::vector<std::unique_ptr<TokenDrawer>> free_drawers_;

    // The batch of a forward pass, reused.
    std::vector<std::int32_t> tokens_;
    std::vector<device::SequenceRows> rows_;
    std::vector<std::int32_t> logit_rows_;
    std::vector<Sequence*> batched_;
    std::span<const float> logits_;
    std::string failure_;
    bool has_ended_ = false;  // an answer, in this step

    int decoded_tokens_ = 0;  // since the last figure of decode_tokens_per_second
    double decoded_s_ = 0.0;
    bool has_decode_figure_ = false;
};

}  // namespace baltoro
