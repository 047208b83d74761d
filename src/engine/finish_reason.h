#pragma once

namespace baltoro {

// Why an answer ended.
enum class FinishReason { stop, length, context_full, cancelled };

}  // namespace baltoro
