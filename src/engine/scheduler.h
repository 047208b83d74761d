#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "engine/block_allocator.h"
#include "engine/prefix_cache.h"

namespace baltoro {

// The tokens of one answer and what the KV cache holds of them.
struct Sequence {
    enum class State : std::uint8_t { waiting, prefilling, decoding };

    // The owner's. Tokens grow by what is drawn; at least one is not computed while it is running.
    std::vector<std::int32_t> tokens;  // the prompt, then the answer
    int n_prompt = 0;
    int answer_idx = 0;  // whose it is
    // Rows from here on are computed, even if they are cached, since their logits are wanted.
    int first_wanted_row = std::numeric_limits<int>::max();

    // The scheduler's.
    State state = State::waiting;
    int n_computed = 0;  // tokens in the KV cache
    int n_cached = 0;    // of the prompt: found in the cache instead of being computed
    bool was_admitted = false;
    std::vector<std::int32_t> pages;
    int n_shared_pages = 0;  // of `pages`, from the first: in the prefix cache

    int n_tokens() const noexcept { return static_cast<int>(tokens.size()); }
};

struct SchedulerOptions {
    int n_parallel = 1;    // most sequences running, at most max_rows
    int max_rows = 1;      // of a forward pass
    int context_size = 1;  // most tokens of a sequence; pages for them exist
};

// What the next step computes.
struct StepPlan {
    std::vector<Sequence*> admitted;  // for the first time
    std::vector<Sequence*> full;      // no page is left for the next token: the answer ends
    std::vector<Sequence*> decoding;  // one token each: tokens[n_computed]
    Sequence* prefilling = nullptr;   // tokens [n_computed, prefill_end); null: none
    int prefill_end = 0;
    StepKind prefill_kind = StepKind::decode;
};

// What page `page_idx` of the sequence's tokens holds when it is complete, but for its parent.
PageContent page_content(const Sequence& sequence, int page_idx) noexcept;

// Tokens from the first that need not be computed if they are cached. The last one's logits are
// always wanted.
int n_reusable_tokens(const Sequence& sequence) noexcept;

// Pages that are set aside for a sequence of `n_tokens` when it is admitted: one more than it
// fills, within the context.
int n_pages_to_admit(int n_tokens, int context_size) noexcept;

// Decides what runs: first come, first served, at most n_parallel at once, with pages for the whole
// prompt and one more set aside. When a decoding sequence needs a page and all are in use, the
// youngest running one goes back to the head of the queue; it keeps its tokens, and what it had
// decoded is decoded again, so its result stays the same. Prompts take turns step by step, so a
// short one does not wait for a long one. Pages are found in the cache by their tokens and by the
// arithmetic that this sequence would use for them (prompt_steps.h), so cached and computed rows
// have the same bits. Pure logic: the caller runs the model. Holds pointers to sequences from
// submit() to finish(). Engine thread only.
class Scheduler {
  public:
    Scheduler(int n_pages, const SchedulerOptions& options);

    // Precondition: the sequence has tokens, all of them the prompt, and fits the context.
    void submit(Sequence& sequence);

    // The plan is valid until the next call. Precondition: what the last plan named has advanced or
    // finished.
    const StepPlan& plan_step();

    // The rows of the plan that the model has written: n_computed grows to `n_computed`.
    void advance(Sequence& sequence, int n_computed);

    // The answer is over, however far it came: its pages are free or cached.
    void finish(Sequence& sequence);

    bool is_idle() const noexcept { return waiting_.empty() && running_.empty(); }
    int n_waiting() const noexcept { return static_cast<int>(waiting_.size()); }
    int n_running() const noexcept { return static_cast<int>(running_.size()); }
    std::uint64_t n_preemptions() const noexcept { return n_preemptions_; }  // so far
    const PrefixCache& cache() const noexcept { return cache_; }

  private:
    void find_pages_for_decoding();
    bool find_page_for(Sequence& sequence);
    void admit();
    bool take_pages(Sequence& sequence);
    void choose_prompt();
    void preempt(Sequence& sequence);
    void release_pages(Sequence& sequence) noexcept;
    void take_cached(Sequence& sequence, int n_tokens);
    void share_complete(Sequence& sequence);

    SchedulerOptions options_;
    BlockAllocator allocator_;
    PrefixCache cache_;
    std::deque<Sequence*> waiting_;
    std::vector<Sequence*> running_;    // the oldest first
    std::deque<Sequence*> prefilling_;  // of running_: the next one's turn first
    StepPlan plan_;
    std::uint64_t n_preemptions_ = 0;
};

}  // namespace baltoro
