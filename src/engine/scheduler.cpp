#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace baltoro {
namespace {

using device::kPageTokens;

int n_pages_for(int n_tokens) {
    return (n_tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

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
    found_.reserve(static_cast<std::size_t>(n_pages));
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
    choose_chunk();
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
    // The last token is always computed, since its logits are wanted.
    take_cached(sequence, sequence.n_tokens() - 1);
    const auto n_needed = static_cast<std::size_t>(
        std::min(n_pages_for(sequence.n_tokens()) + 1, n_pages_for(options_.context_size)));
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
void Scheduler::choose_chunk() {
    if (prefilling_.empty()) return;
    Sequence& sequence = *prefilling_.front();
    prefilling_.pop_front();
    prefilling_.push_back(&sequence);
    take_cached(sequence, sequence.n_prompt - 1);
    plan_.prefilling = &sequence;
    const bool is_chunk = sequence.n_computed < n_in_chunks(sequence);
    plan_.prefill_kind = is_chunk ? StepKind::prefill : StepKind::decode;
    plan_.prefill_end = std::min(sequence.n_prompt, sequence.n_computed + options_.max_rows);
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
           take_cached_unit(sequence, n_tokens)) {
    }
}

// The pages up to the next place where a cold run begins a step: a page, or within the complete
// chunks whole chunks.
bool Scheduler::take_cached_unit(Sequence& sequence, int n_tokens) {
    int end = sequence.n_computed + kPageTokens;
    const int n_chunked = n_in_chunks(sequence);
    while (end < n_chunked && end % options_.max_rows != 0)
        end += kPageTokens;
    if (end > n_tokens) return false;
    found_.clear();
    for (int page = sequence.n_shared_pages; page * kPageTokens < end; page++) {
        std::int32_t parent = kNoPage;
        if (!found_.empty()) {
            parent = found_.back();
        } else if (page > 0) {
            parent = sequence.pages[static_cast<std::size_t>(page) - 1];
        }
        found_.push_back(cache_.find(content_of(sequence, page, parent)));
        if (found_.back() != kNoPage) continue;
        for (found_.pop_back(); !found_.empty(); found_.pop_back())
            cache_.release(found_.back());
        return false;
    }
    for (const std::int32_t page : found_) {
        const auto page_idx = static_cast<std::size_t>(sequence.n_shared_pages++);
        if (page_idx < sequence.pages.size()) {
            cache_.release(sequence.pages[page_idx]);
            sequence.pages[page_idx] = page;
        } else {
            sequence.pages.push_back(page);
        }
    }
    // What a preempted sequence finds again is its own.
    if (!sequence.was_admitted || sequence.state == Sequence::State::prefilling)
        sequence.n_cached += end - sequence.n_computed;
    sequence.n_computed = end;
    return true;
}

void Scheduler::share_complete(Sequence& sequence) {
    while ((sequence.n_shared_pages + 1) * kPageTokens <= sequence.n_computed) {
        const auto page_idx = static_cast<std::size_t>(sequence.n_shared_pages);
        const std::int32_t parent = page_idx > 0 ? sequence.pages[page_idx - 1] : kNoPage;
        std::int32_t& page = sequence.pages[page_idx];
        page = cache_.add(page, content_of(sequence, sequence.n_shared_pages, parent));
        sequence.n_shared_pages++;
    }
}

// Tokens of the prompt that lie in complete chunks.
int Scheduler::n_in_chunks(const Sequence& sequence) const noexcept {
    return sequence.n_prompt / options_.max_rows * options_.max_rows;
}

// A number for how the page's rows are computed: by decode steps, or in chunks with these tokens.
// Chunks whose numbers collide would exchange last bits, not tokens, which are compared.
std::uint64_t Scheduler::arithmetic_of(const Sequence& sequence, int page_idx) const noexcept {
    const int begin = page_idx * kPageTokens;
    const int n_chunked = n_in_chunks(sequence);
    if (begin >= n_chunked) return 0;
    const int rows = options_.max_rows;
    const int first = begin / rows * rows;
    const int end = std::min((begin + kPageTokens + rows - 1) / rows * rows, n_chunked);
    std::uint64_t hash = static_cast<std::uint64_t>(end - begin) << 32;
    for (int i = first; i < end; i++) {
        const auto token = static_cast<std::uint32_t>(sequence.tokens[static_cast<std::size_t>(i)]);
        hash = (hash ^ token) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash | 1;
}

PageContent Scheduler::content_of(const Sequence& sequence,
                                  int page_idx,
                                  std::int32_t parent) const noexcept {
    PageContent content;
    content.parent = parent;
    content.tokens = std::span(sequence.tokens)
                         .subspan(static_cast<std::size_t>(page_idx * kPageTokens), kPageTokens);
    content.arithmetic = arithmetic_of(sequence, page_idx);
    return content;
}

}  // namespace baltoro
