#include "engine/queue_room.h"

#include <doctest/doctest.h>

using namespace baltoro;

TEST_CASE("free slots are filled before anybody waits") {
    QueueRoom room(1, 2, 100);
    room.add(10);
    room.add(10);
    CHECK(room.n_waiting() == 0);
    CHECK(room.has_room_for(10));
    room.add(10);
    CHECK(room.n_waiting() == 1);
    CHECK(!room.has_room_for(1));
}

TEST_CASE("a queue of none takes what can run at once") {
    QueueRoom room(0, 1, 100);
    CHECK(room.has_room_for(100));
    room.add(10);
    CHECK(!room.has_room_for(1));
    room.reset(1, 90, 0);
    CHECK(room.has_room_for(90));
    CHECK(!room.has_room_for(91));
}

TEST_CASE("a slot without pages is no room") {
    QueueRoom room(2, 4, 100);
    room.add(95);
    room.add(10);
    CHECK(room.n_waiting() == 1);
    room.add(1);  // does not overtake, though there are pages for it
    CHECK(room.n_waiting() == 2);
    CHECK(!room.has_room_for(1));
}

TEST_CASE("while answers wait after a step, its free slots are theirs") {
    QueueRoom room(3, 4, 100);
    room.reset(2, 100, 2);
    CHECK(room.has_room_for(1));
    room.add(1);
    CHECK(room.n_waiting() == 3);
    CHECK(!room.has_room_for(1));
    room.reset(0, 100, 5);  // preempted ones came back
    CHECK(!room.has_room_for(1));
}
