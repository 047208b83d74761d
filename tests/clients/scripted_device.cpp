#include "tests/clients/scripted_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "tests/clients/conversation.h"

namespace baltoro::testing {
namespace {

// Far enough apart that no temperature and no bias draws another token, and finite, so that
// log-probabilities are numbers.
constexpr float kSaid = 1000.0f;
constexpr float kEnd = 500.0f;     // where what should be said is not allowed,
constexpr float kFiller = 250.0f;  // and where the end is not, either

constexpr char kEndOfTurn[] = "<|im_end|>";

bf16_t low_half(int value) {
    return static_cast<bf16_t>(value & 0xffff);
}
bf16_t high_half(int value) {
    return static_cast<bf16_t>(value >> 16);
}
int whole(const bf16_t* halves) {
    return halves[0] | halves[1] << 16;
}

std::int32_t required_special(const Tokenizer& tokenizer, std::string_view text) {
    const auto id = tokenizer.special_id(text);
    if (!id) throw Error("the tokenizer has no " + std::string(text));
    return *id;
}

}  // namespace

ScriptedDevice::ScriptedDevice(const Tokenizer& tokenizer, Script script, int vocab_size)
    : tokenizer_(tokenizer),
      script_(std::move(script)),
      vocab_size_(vocab_size),
      end_of_turn_(required_special(tokenizer, kEndOfTurn)) {}

// As on the CPU: a KV cache for a long context costs memory only where it is used.
device::Buffer ScriptedDevice::allocate(std::size_t size_bytes, device::MemoryKind /*kind*/) {
    if (size_bytes == 0) return {};
    void* data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) throw system_error("cannot reserve memory", errno);
    return {*this, data, size_bytes};
}

void ScriptedDevice::release(void* data, std::size_t size_bytes) noexcept {
    munmap(data, size_bytes);
}

device::Matrix ScriptedDevice::place(const TensorView& weight,
                                     const TensorView* scale,
                                     device::WeightUse /*use*/) {
    device::Matrix matrix = device::matrix_shape(weight);
    matrix.data = weight.data;
    matrix.scale = scale == nullptr ? nullptr : reinterpret_cast<const float*>(scale->data);
    matrix.size_bytes = weight.size_bytes;
    return matrix;
}

void ScriptedDevice::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    std::memcpy(host_dst, src, size_bytes);
}

void ScriptedDevice::copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) {
    std::memcpy(dst, host_src, size_bytes);
}

// The residual stream carries a row's number in its first element; nothing adds to it.
void ScriptedDevice::embed(const device::Embed& args) {
    ids_.assign(args.ids.begin(), args.ids.end());
    is_new_step_ = true;
    for (std::size_t r = 0; r < ids_.size(); r++)
        args.dst[r * static_cast<std::size_t>(args.table.k)] = static_cast<float>(r);
}

// In bf16 a row's number travels as the bits.
void ScriptedDevice::rms_norm(const device::Norm& args) {
    if (args.dst_bf16 == nullptr) return;
    for (std::ptrdiff_t r = 0; r < args.n_rows; r++)
        args.dst_bf16[r * args.n] = static_cast<bf16_t>(args.src[r * args.src_stride]);
}

void ScriptedDevice::product(const device::Product& args) {
    if (args.accumulate || args.w.n != vocab_size_) return;
    const auto n = static_cast<std::size_t>(vocab_size_);
    for (int i = 0; i < args.n_rows; i++)
        write_logits(args.x[static_cast<std::ptrdiff_t>(i) * args.w.k],
                     {args.dst + static_cast<std::size_t>(i) * n, n});
}

// A slot holds the token's id and, to find pages that were mixed up, its position.
void ScriptedDevice::write_latent(const device::WriteLatent& args) {
    pages_ = args.pages;
    latent_dim_ = args.shapes.latent_dim();
    check(latent_dim_ >= 4, "a slot has room for an id and a position");
    sequences_.clear();
    for (const device::SequenceRows& rows : args.sequences) {
        sequences_.push_back({rows.first_row,
                              rows.n_rows,
                              rows.first_position,
                              {rows.page_table.begin(), rows.page_table.end()}});
        for (int r = 0; r < rows.n_rows; r++) {
            const int position = rows.first_position + r;
            const std::int32_t id = ids_[static_cast<std::size_t>(rows.first_row + r)];
            bf16_t* halves = slot(sequences_.back(), position);
            halves[0] = low_half(id);
            halves[1] = high_half(id);
            halves[2] = low_half(position);
            halves[3] = high_half(position);
        }
    }
    if (std::exchange(is_new_step_, false)) take_time_for_prompts();
}

// A prompt's rows come several at a time, an answer's one by one.
void ScriptedDevice::take_time_for_prompts() const {
    for (const StepSequence& sequence : sequences_) {
        if (sequence.n_rows == 1) continue;
        const int last_row = sequence.first_row + sequence.n_rows - 1;
        const std::string so_far = tokenizer_.decode(tokens_up_to(last_row));
        const int ms = script_.rule_for(so_far).ms_per_prompt_token;
        std::this_thread::sleep_for(std::chrono::milliseconds(ms * sequence.n_rows));
    }
}

// Any choice is valid; this one spreads the rows.
void ScriptedDevice::route(const device::Route& args) {
    for (int r = 0; r < args.n_rows; r++) {
        for (int k = 0; k < args.top_k; k++) {
            const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(r) * args.top_k + k;
            args.ids[i] = (r + k) % args.w.n;
            args.gains[i] = 1.0f / static_cast<float>(args.top_k);
        }
    }
}

bf16_t* ScriptedDevice::slot(const StepSequence& sequence, int position) const {
    const std::int32_t page =
        sequence.page_table[static_cast<std::size_t>(position / device::kPageTokens)];
    return pages_ + (static_cast<std::ptrdiff_t>(page) * device::kPageTokens +
                     position % device::kPageTokens) *
                        latent_dim_;
}

std::vector<std::int32_t> ScriptedDevice::tokens_up_to(int row) const {
    const auto sequence = std::find_if(sequences_.begin(), sequences_.end(), [row](const auto& s) {
        return row >= s.first_row && row < s.first_row + s.n_rows;
    });
    check(sequence != sequences_.end(), "a row belongs to a sequence");
    const int n = sequence->first_position + row - sequence->first_row + 1;
    std::vector<std::int32_t> ids;
    ids.reserve(static_cast<std::size_t>(n));
    for (int position = 0; position < n; position++) {
        const bf16_t* halves = slot(*sequence, position);
        check(whole(halves + 2) == position, "a page holds what its sequence wrote there");
        ids.push_back(whole(halves));
    }
    return ids;
}

void ScriptedDevice::write_logits(int row, std::span<float> logits) const {
    const Conversation conversation = read_conversation(tokenizer_, tokens_up_to(row));
    const ScriptRule& rule = script_.rule_for(conversation.heard);
    std::this_thread::sleep_for(std::chrono::milliseconds(rule.ms_per_token));
    std::fill(logits.begin(), logits.end(), 0.0f);
    const auto logit = [&](std::int32_t id) -> float& {
        return logits[static_cast<std::size_t>(id)];
    };
    logit(tokenizer_.encode(" ").front()) = kFiller;
    logit(end_of_turn_) = kEnd;
    const auto n_letters = static_cast<std::size_t>(rule.n_random_letters);
    if (conversation.written.size() < n_letters) {
        for (char letter = 'a'; letter <= 'z'; letter++)
            logit(tokenizer_.encode({&letter, 1}).front()) = kSaid;
        return;
    }
    const std::string_view rest = conversation.is_chat
                                      ? rest_of_answer(rule.answer, conversation.written)
                                      : rest_of_text(rule.answer, conversation.heard);
    logit(next_token(rule, rest)) = kSaid;
}

std::int32_t ScriptedDevice::next_token(const ScriptRule& rule, std::string_view rest) const {
    if (rest.empty() || rule.n_random_letters > 0) return end_of_turn_;
    return tokenizer_.encode_with_special(rest).front();
}

}  // namespace baltoro::testing
