#include "tests/cuda_runtime/process.h"

#include <utility>

#include "base/check.h"
#include "tests/cuda_runtime/state.h"

namespace baltoro::cuda_stand_in {
namespace {

// The C functions have no object to go to.
Process* the_process = nullptr;
State* the_state = nullptr;

template <typename Map>
std::string left(const Map& objects, const char* name) {
    return objects.empty() ? "" : std::to_string(objects.size()) + " " + name + " left; ";
}

std::string left(const MemoryMap& memory, Place place, const char* name) {
    const std::size_t n = memory.count(place);
    return n == 0 ? "" : std::to_string(n) + " " + name + " left; ";
}

std::string joined(const std::vector<std::string>& misuses) {
    std::string text;
    for (const std::string& misuse : misuses)
        text += misuse + "; ";
    return text;
}

}  // namespace

Process::Process() : state_(std::make_unique<State>()) {
    check(the_process == nullptr, "there is one process");
    static std::uint64_t n_processes = 0;
    state_->number = ++n_processes;
    the_process = this;
    the_state = state_.get();
}

Process::~Process() {
    the_process = nullptr;
    the_state = nullptr;
}

Machine& Process::machine() {
    return state_->machine;
}

Faults& Process::faults() {
    return state_->faults;
}

std::string Process::complaints() const {
    const std::lock_guard lock(state_->mutex);
    std::string text = left(state_->memory, Place::device, "allocations of device memory") +
                       left(state_->memory, Place::pinned, "allocations of pinned memory") +
                       left(state_->streams, "streams") + left(state_->events, "events") +
                       left(state_->graphs, "graphs") +
                       left(state_->executables, "executable graphs");
    return text + joined(state_->misuses);
}

std::string Process::take_misuses() {
    const std::lock_guard lock(state_->mutex);
    return joined(std::exchange(state_->misuses, {}));
}

std::size_t Process::used_bytes(int card) const {
    return state_->memory.used_bytes(card);
}

Process& current_process() {
    check(the_process != nullptr, "there is a process");
    return *the_process;
}

State* current_state() {
    return the_state;
}

Stream* State::stream(cudaStream_t handle) const {
    const auto found = streams.find(handle);
    return found == streams.end() ? nullptr : found->second.get();
}

Event* State::event(cudaEvent_t handle) const {
    const auto found = events.find(handle);
    return found == events.end() ? nullptr : found->second.get();
}

bool State::is_idle(int card) const {
    for (const auto& [handle, stream] : streams)
        if (stream->card == card && !stream->emulated.is_idle()) return false;
    return true;
}

bool strikes(std::atomic<int>& countdown) {
    return countdown > 0 && --countdown == 0;
}

ThreadState& thread_state() {
    thread_local ThreadState state;
    const std::uint64_t number = the_state == nullptr ? 0 : the_state->number;
    if (state.process != number) state = {number, 0, cudaSuccess};
    return state;
}

}  // namespace baltoro::cuda_stand_in
