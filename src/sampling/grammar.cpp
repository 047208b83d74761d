#include "sampling/grammar.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace baltoro {
namespace {

using Kind = GrammarEdge::Kind;

// Whether a rule can come back to its start, or a state to itself, without a byte. Depth first;
// rules match no empty text, so what follows a call is not reached without one.
bool refers_to_itself(const Grammar& grammar) {
    enum class Mark : std::uint8_t { untouched, open, closed };
    std::vector<Mark> marks(grammar.n_states(), Mark::untouched);
    std::vector<std::pair<GrammarStateId, std::uint32_t>> path;  // state, next edge
    for (GrammarStateId root = 0; root < grammar.n_states(); ++root) {
        if (marks[root] != Mark::untouched) continue;
        marks[root] = Mark::open;
        path.emplace_back(root, grammar.first_edge[root]);
        while (!path.empty()) {
            auto& [state, next_edge] = path.back();
            if (next_edge == grammar.first_edge[state + 1]) {
                marks[state] = Mark::closed;
                path.pop_back();
                continue;
            }
            const GrammarEdge& edge = grammar.edges[next_edge++];
            if (edge.kind == Kind::bytes) continue;
            const GrammarStateId next = edge.kind == Kind::call ? edge.callee : edge.target;
            if (marks[next] == Mark::open) return true;
            if (marks[next] == Mark::closed) continue;
            marks[next] = Mark::open;
            path.emplace_back(next, grammar.first_edge[next]);
        }
    }
    return false;
}

// Per state, whether some finite text leads from it to its rule's end. Backwards from the ends; a
// call counts once both the callee and what follows do. Linear in the edges.
std::vector<std::uint8_t> states_that_finish(const Grammar& grammar) {
    std::vector<std::vector<GrammarStateId>> before(grammar.n_states());
    for (GrammarStateId state = 0; state < grammar.n_states(); ++state) {
        for (const GrammarEdge& edge : grammar.edges_of(state)) {
            before[edge.target].push_back(state);
            if (edge.kind == Kind::call) before[edge.callee].push_back(state);
        }
    }
    std::vector<std::uint8_t> finishes = grammar.is_end;
    std::vector<GrammarStateId> pending;
    for (GrammarStateId state = 0; state < grammar.n_states(); ++state)
        if (finishes[state] != 0) pending.push_back(state);
    const auto leads_on = [&](const GrammarEdge& edge) {
        return finishes[edge.target] != 0 &&
               (edge.kind != Kind::call || finishes[edge.callee] != 0);
    };
    while (!pending.empty()) {
        const GrammarStateId state = pending.back();
        pending.pop_back();
        for (const GrammarStateId earlier : before[state]) {
            if (finishes[earlier] != 0) continue;
            const auto edges = grammar.edges_of(earlier);
            if (std::none_of(edges.begin(), edges.end(), leads_on)) continue;
            finishes[earlier] = 1;
            pending.push_back(earlier);
        }
    }
    return finishes;
}

void number_byte_classes(Grammar& grammar) {
    std::array<bool, 257> starts_class{};
    starts_class[0] = true;
    for (const GrammarEdge& edge : grammar.edges) {
        if (edge.kind != Kind::bytes) continue;
        starts_class[edge.lowest] = true;
        starts_class[edge.highest + 1u] = true;
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
        if (starts_class[byte]) grammar.byte_of_class.push_back(static_cast<std::uint8_t>(byte));
        grammar.class_of_byte[byte] = static_cast<std::uint8_t>(grammar.byte_of_class.size() - 1);
    }
}

}  // namespace

GrammarStateId GrammarBuilder::add_state() {
    if (is_end_.size() >= kMaxStates) {
        is_full_ = true;
        return 0;
    }
    is_end_.push_back(0);
    return static_cast<GrammarStateId>(is_end_.size() - 1);
}

void GrammarBuilder::add(GrammarStateId from, const GrammarEdge& edge) {
    is_full_ = is_full_ || edges_.size() >= 2 * kMaxStates;
    if (!is_full_) edges_.push_back({from, edge});
}

void GrammarBuilder::add_bytes(GrammarStateId from, int lowest, int highest, GrammarStateId to) {
    add(from, {.kind = Kind::bytes,
               .lowest = static_cast<std::uint8_t>(lowest),
               .highest = static_cast<std::uint8_t>(highest),
               .target = to});
}

void GrammarBuilder::add_epsilon(GrammarStateId from, GrammarStateId to) {
    add(from, {.kind = Kind::epsilon, .target = to});
}

void GrammarBuilder::add_call(GrammarStateId from, GrammarStateId callee, GrammarStateId to) {
    add(from, {.kind = Kind::call, .target = to, .callee = callee});
}

Grammar GrammarBuilder::arranged(std::span<const PlacedEdge> placed) const {
    Grammar grammar;
    grammar.is_end = is_end_;
    grammar.first_edge.assign(is_end_.size() + 1, 0);
    for (const PlacedEdge& edge : placed)
        ++grammar.first_edge[edge.from + 1];
    for (std::size_t i = 1; i < grammar.first_edge.size(); ++i)
        grammar.first_edge[i] += grammar.first_edge[i - 1];
    std::vector<std::uint32_t> next(grammar.first_edge.begin(), grammar.first_edge.end() - 1);
    grammar.edges.resize(placed.size());
    for (const PlacedEdge& edge : placed)
        grammar.edges[next[edge.from]++] = edge.edge;
    return grammar;
}

Result<Grammar> GrammarBuilder::build(GrammarStateId start) const {
    if (is_full_) return Failure{fmt::format("it needs more than {} states", kMaxStates)};
    const Grammar all = arranged(edges_);
    if (refers_to_itself(all))
        return Failure{"it refers to itself without an object or array in between"};
    const std::vector<std::uint8_t> finishes = states_that_finish(all);
    if (finishes[start] == 0) return Failure{"no finite value satisfies it"};
    std::vector<PlacedEdge> kept;
    for (const PlacedEdge& edge : edges_) {
        if (finishes[edge.edge.target] == 0) continue;
        if (edge.edge.kind == Kind::call && finishes[edge.edge.callee] == 0) continue;
        kept.push_back(edge);
    }
    Grammar grammar = arranged(kept);
    grammar.start = start;
    number_byte_classes(grammar);
    return grammar;
}

}  // namespace baltoro
