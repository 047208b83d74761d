#pragma once

#include <string>
#include <string_view>

namespace baltoro {

// Turns a stream of token bytes into a stream of whole code points: an unfinished sequence at the
// end is held back until it is complete; bytes that can never become valid UTF-8 come out as
// U+FFFD, one per maximal invalid part (the Unicode standard's recommendation). One owner, one
// thread.
class Utf8Stream {
  public:
    // Text that is complete after `bytes`.
    std::string push(std::string_view bytes);

    // What is held back at the end of the stream, as U+FFFD.
    std::string finish();

  private:
    std::string pending_;
};

}  // namespace baltoro
