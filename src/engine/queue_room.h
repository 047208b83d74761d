#pragma once

namespace baltoro {

// Whether one answer more can be taken so that at most `max_waiting` wait: ones that find a slot
// and pages in the next step do not. Follows the scheduler's order, in which nobody overtakes the
// ones that wait. An answer counts with the pages that it does not share with running ones; cached
// pages that nobody holds are free ones as well as its own. Answers that were preempted wait, too.
// The owner locks.
class QueueRoom {
  public:
    QueueRoom(int max_waiting, int n_slots, int n_pages) noexcept
        : max_waiting_(max_waiting), n_slots_(n_slots), n_pages_(n_pages) {}

    // What is free after a step, and how many wait.
    void reset(int n_slots, int n_pages, int n_waiting) noexcept {
        n_slots_ = n_slots;
        n_pages_ = n_pages;
        n_waiting_ = n_waiting;
    }

    bool has_room_for(int n_pages) const noexcept {
        return runs_at_once(n_pages) || n_waiting_ < max_waiting_;
    }

    // One answer more, which needs so many pages.
    void add(int n_pages) noexcept {
        if (!runs_at_once(n_pages)) {
            n_waiting_++;
            return;
        }
        n_slots_--;
        n_pages_ -= n_pages;
    }

    int n_waiting() const noexcept { return n_waiting_; }

  private:
    bool runs_at_once(int n_pages) const noexcept {
        return n_waiting_ == 0 && n_slots_ > 0 && n_pages <= n_pages_;
    }

    int max_waiting_;
    int n_slots_;
    int n_pages_;
    int n_waiting_ = 0;
};

}  // namespace baltoro
