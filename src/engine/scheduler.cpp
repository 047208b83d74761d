#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "engine/prompt_steps.h"

namespace baltoro {
namespace {

using device::kPageTokens;

int n_pages_for(int n_tokens) {
    return (n_tokens + kPageTokens - 1) / kPageTokens;
}

// What the first page of the sequence that is not shared holds when it is complete.
PageContent next_page(const Sequence& sequence) noexcept {
    const int page_idx = sequence.n_shared_pages;
    PageContent content = page_content(sequence, page_idx);
    if (page_idx > 0) content.parent = sequence.pages[static_cast<std::size_t>(page_idx) - 1];
    return content;
}

}  // namespace

PageContent page_content(const Sequence& sequence, int page_idx) noexcept {
    const int begin = page_idx * kPageTokens;
    PageContent content;
    content.tokens =
        std::span(sequence.tokens).subspan(static_cast<std::size_t>(begin), kPageTokens);
    content.n_prefill_rows =
        std::clamp(n_prefill_tokens(sequence.n_prompt) - begin, 0, kPageTokens);
    return content;
}

int n_reusable_tokens(const Sequence& sequence) noexcept {
    return std::min(sequence.n_tokens() - 1, sequence.first_wanted_row);
}

int n_pages_to_admit(int n_tokens, int context_size) noexcept {
    return std::min(n_pages_for(n_tokens) + 1, n_pages_for(context_size));
}

Scheduler::Scheduler(int n_pages, const SchedulerOptions& options)
    : options_(options), allocator_(n_pages), cache_(allocator_) {
    check(options.n_parallel > 0 && options.n_parallel <= options.max_rows,
          "one forward pass decodes all sequences");
    check(options.context_size > 0 && n_pages_for(options.context_size) <= n_pages,
          "a sequence of the whole context fits the KV cache");
    const auto n_parallel = static_cast<std::size_t>(options.n_parallel);
    running_.reserve(n_parallel);
    plan_.admitted.reserve(n_parallel);
    plan_.full.reserve(n_parallel);
    plan_.decoding.reserve(n_parallel);
}

void Scheduler::submit(Sequence& sequence) {
    check(sequence.n_tokens() > 0 && sequence.n_tokens() == sequence.n_prompt &&
              sequence.n_prompt <= options_.context_size,
          "a new sequence is a prompt within the context");
    sequence.pages.reserve(static_cast<std::size_t>(n_pages_for(options_.context_size)));
    waiting_.push_back(&sequence);
}

const StepPlan& Scheduler::plan_step() {
    plan_.admitted.clear();
    plan_.full.clear();
    plan_.decoding.clear();
    plan_.prefilling = nullptr;
    find_pages_for_decoding();
    admit();
    for (Sequence* sequence : running_) {
        if (sequence->state != Sequence::State::decoding) continue;
        const bool has_page =
            n_pages_for(sequence->n_computed + 1) <= static_cast<int>(sequence->pages.size());
        (has_page ? plan_.decoding : plan_.full).push_back(sequence);
    }
    choose_prompt();
    return plan_;
}

// The oldest sequences choose first. Ones that must go are at the end of `running_`.
void Scheduler::find_pages_for_decoding() {
    for (std::size_t i = 0; i < running_.size(); i++) {
        Sequence& sequence = *running_[i];
        if (sequence.state == Sequence::State::decoding) {
            while (!find_page_for(sequence) && running_.size() > 1) {
                Sequence& youngest = *running_.back();
                preempt(youngest);
                if (&youngest == &sequence) break;
            }
        }
    }
}

bool Scheduler::find_page_for(Sequence& sequence) {
    const auto n_needed = static_cast<std::size_t>(n_pages_for(sequence.n_computed + 1));
    if (sequence.pages.size() >= n_needed) return true;
    const std::int32_t page = cache_.allocate();
    if (page == kNoPage) return false;
    sequence.pages.push_back(page);
    return true;
}

void Scheduler::admit() {
    while (!waiting_.empty() && n_running() < options_.n_parallel) {
        Sequence& sequence = *waiting_.front();
        if (!take_pages(sequence)) return;
        waiting_.pop_front();
        running_.push_back(&sequence);
        const bool has_prompt = sequence.n_computed >= sequence.n_prompt;
        sequence.state = has_prompt ? Sequence::State::decoding : Sequence::State::prefilling;
        if (!has_prompt) prefilling_.push_back(&sequence);
        if (sequence.was_admitted) continue;
        sequence.was_admitted = true;
        plan_.admitted.push_back(&sequence);
    }
    check(!running_.empty() || waiting_.empty(), "an empty cache admits any sequence");
}

// The cached pages of the sequence, and new ones for its other tokens and the next page; false and
// none if there are too few.
bool Scheduler::take_pages(Sequence& sequence) {
    take_cached(sequence, n_reusable_tokens(sequence));
    const auto n_needed =
        static_cast<std::size_t>(n_pages_to_admit(sequence.n_tokens(), options_.context_size));
    if (sequence.pages.size() + static_cast<std::size_t>(cache_.n_available()) < n_needed) {
        release_pages(sequence);
        if (!sequence.was_admitted) sequence.n_cached = 0;
        return false;
    }
    while (sequence.pages.size() < n_needed)
        sequence.pages.push_back(cache_.allocate());
    return true;
}

// Another sequence may have computed the same pages since this one was admitted.
void Scheduler::choose_prompt() {
    if (prefilling_.empty()) return;
    Sequence& sequence = *prefilling_.front();
    prefilling_.pop_front();
    prefilling_.push_back(&sequence);
    take_cached(sequence, std::min(sequence.n_prompt - 1, sequence.first_wanted_row));
    plan_.prefilling = &sequence;
    plan_.prefill_kind = prompt_kind(sequence.n_prompt);
    plan_.prefill_end = prompt_step_end(sequence.n_computed, sequence.n_prompt, options_.max_rows);
}

void Scheduler::advance(Sequence& sequence, int n_computed) {
    check(n_computed > sequence.n_computed && n_computed <= sequence.n_tokens(),
          "a sequence advances within its tokens");
    sequence.n_computed = n_computed;
    share_complete(sequence);
    if (sequence.state != Sequence::State::prefilling || n_computed < sequence.n_prompt) return;
    sequence.state = Sequence::State::decoding;
    std::erase(prefilling_, &sequence);
}

void Scheduler::finish(Sequence& sequence) {
    if (sequence.state == Sequence::State::waiting) {
        std::erase(waiting_, &sequence);
        return;
    }
    std::erase(running_, &sequence);
    std::erase(prefilling_, &sequence);
    release_pages(sequence);
}

// Its pages stay cached, so that it finds them again unless others need the room.
void Scheduler::preempt(Sequence& sequence) {
    check(running_.back() == &sequence, "the youngest sequence is preempted");
    n_preemptions_++;
    share_complete(sequence);
    running_.pop_back();
    std::erase(prefilling_, &sequence);
    release_pages(sequence);
    sequence.state = Sequence::State::waiting;
    waiting_.push_front(&sequence);
}

void Scheduler::release_pages(Sequence& sequence) noexcept {
    for (; !sequence.pages.empty(); sequence.pages.pop_back())
        cache_.release(sequence.pages.back());
    sequence.n_shared_pages = 0;
    sequence.n_computed = 0;
}

// Goes on with cached pages, within the first `n_tokens`, as far as there are any.
void Scheduler::take_cached(Sequence& sequence, int n_tokens) {
    while (sequence.n_computed == sequence.n_shared_pages * kPageTokens &&
           sequence.n_computed + kPageTokens <= n_tokens) {
        const std::int32_t page = cache_.find(next_page(sequence));
        if (page == kNoPage) return;
        const auto page_idx = static_cast<std::size_t>(sequence.n_shared_pages++);
        if (page_idx < sequence.pages.size()) {
            cache_.release(sequence.pages[page_idx]);
            sequence.pages[page_idx] = page;
        } else {
            sequence.pages.push_back(page);
        }
        sequence.n_computed += kPageTokens;
        // What a preempted sequence finds again is its own.
        if (!sequence.was_admitted || sequence.state == Sequence::State::prefilling)
            sequence.n_cached += kPageTokens;
    }
}

void Scheduler::share_complete(Sequence& sequence) {
    while ((sequence.n_shared_pages + 1) * kPageTokens <= sequence.n_computed) {
        std::int32_t& page = sequence.pages[static_cast<std::size_t>(sequence.n_shared_pages)];
        page = cache_.add(page, next_page(sequence));
        sequence.n_shared_pages++;
    }
}

}  // namespace baltoro
