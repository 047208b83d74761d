#include "tests/reference/reference.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "tests/reference/formulas.h"
#include "tests/reference/linear.h"

namespace baltoro {
namespace reference {
namespace {

Rows normalised(const Rows& x, const std::vector<double>& gain, double eps) {
    Rows y(x.n_rows(), gain.size());
    for (std::size_t t = 0; t < x.n_rows(); ++t)
        std::ranges::copy(rms_norm(x[t].first(gain.size()), gain, eps), y[t].begin());
    return y;
}

void add(Rows& x, const Rows& y) {
    for (std::size_t t = 0; t < x.n_rows(); ++t) {
        for (std::size_t i = 0; i < x.width(); ++i)
            x[t][i] += y[t][i];
    }
}

class ReferenceModel {
  public:
    ReferenceModel(const ModelConfig& config, const Checkpoint& checkpoint)
        : c_(config), w_(checkpoint), frequencies_(rope_frequencies(config)) {}

    ReferenceOutput run(std::span<const std::int32_t> tokens) {
        Rows x = embed(tokens);
        for (int layer_idx = 0; layer_idx < c_.num_hidden_layers; ++layer_idx) {
            const std::string layer = fmt::format("model.layers.{}.", layer_idx);
            add(x, attention(layer + "self_attn.", norm(layer + "input_layernorm.weight", x)));
            const Rows y = norm(layer + "post_attention_layernorm.weight", x);
            add(x, c_.is_moe_layer(layer_idx) ? moe(layer + "mlp.", y)
                                              : ffn(layer + "mlp.", c_.intermediate_size, y));
            append(output_.hidden, x);
        }
        append(output_.logits, w_.times(head_name(), c_.vocab_size, norm("model.norm.weight", x)));
        return std::move(output_);
    }

  private:
    Rows embed(std::span<const std::int32_t> tokens) const {
        Rows x(tokens.size(), static_cast<std::size_t>(c_.hidden_size));
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            if (tokens[t] < 0 || tokens[t] >= c_.vocab_size) {
                throw Error(fmt::format("token {} at position {}: the vocabulary has {}", tokens[t],
                                        t, c_.vocab_size));
            }
            std::ranges::copy(w_.row(kEmbeddings, c_.vocab_size, c_.hidden_size, tokens[t]),
                              x[t].begin());
        }
        return x;
    }

    Rows norm(const std::string& name, const Rows& x) const {
        return normalised(x, w_.vector(name, c_.hidden_size), c_.rms_norm_eps);
    }

    std::string head_name() const {
        return c_.tie_word_embeddings ? kEmbeddings : "lm_head.weight";
    }

    // q [T, heads * (nope + rope)], not yet rotated.
    Rows queries(const std::string& name, const Rows& x) const {
        const std::int64_t n = std::int64_t{c_.num_attention_heads} * c_.qk_head_dim();
        if (c_.q_lora_rank == 0) return w_.times(name + "q_proj.weight", n, x);
        const Rows compressed = w_.times(name + "q_a_proj.weight", c_.q_lora_rank, x);
        const auto gain = w_.vector(name + "q_a_layernorm.weight", c_.q_lora_rank);
        return w_.times(name + "q_b_proj.weight", n,
                        normalised(compressed, gain, c_.latent_norm_eps));
    }

    Rows attention(const std::string& name, const Rows& x) const {
        Rows q = queries(name, x);
        // The latent, and one key part with position that all heads share.
        Rows latent = w_.times(name + "kv_a_proj_with_mqa.weight", c_.latent_dim(), x);
        const auto gain = w_.vector(name + "kv_a_layernorm.weight", c_.kv_lora_rank);
        const std::int64_t kv_width =
            std::int64_t{c_.num_attention_heads} * (c_.qk_nope_head_dim + c_.v_head_dim);
        const Rows kv = w_.times(name + "kv_b_proj.weight", kv_width,
                                 normalised(latent, gain, c_.latent_norm_eps));
        for (std::size_t t = 0; t < x.n_rows(); ++t) {
            const double position = static_cast<double>(t);
            rotate(latent[t].subspan(c_.kv_lora_rank), position, frequencies_);
            for (int h = 0; h < c_.num_attention_heads; ++h)
                rotate(query_rope(q, t, h), position, frequencies_);
        }
        Rows heads(x.n_rows(), static_cast<std::size_t>(c_.num_attention_heads * c_.v_head_dim));
        in_parallel(static_cast<std::size_t>(c_.num_attention_heads), [&](std::size_t h) {
            for (std::size_t t = 0; t < x.n_rows(); ++t)
                attend(q, latent, kv, t, static_cast<int>(h), heads);
        });
        return w_.times(name + "o_proj.weight", c_.hidden_size, heads);
    }

    std::span<double> query_rope(Rows& q, std::size_t t, int h) const {
        return q[t].subspan(h * c_.qk_head_dim() + c_.qk_nope_head_dim, c_.qk_rope_head_dim);
    }

    // heads[t, h] = sum over positions s <= t of softmax(score)[s] * value[s, h]
    void attend(const Rows& q,
                const Rows& latent,
                const Rows& kv,
                std::size_t t,
                int h,
                Rows& heads) const {
        const int n = c_.qk_nope_head_dim;
        const int v = c_.v_head_dim;
        const double scale = softmax_scale(c_);
        const auto query = q[t].subspan(h * c_.qk_head_dim(), c_.qk_head_dim());
        std::vector<double> p(t + 1);
        for (std::size_t s = 0; s <= t; ++s) {
            double score = 0;
            for (int i = 0; i < n; ++i)
                score += query[i] * kv[s][h * (n + v) + i];
            for (int i = 0; i < c_.qk_rope_head_dim; ++i)
                score += query[n + i] * latent[s][c_.kv_lora_rank + i];
            p[s] = scale * score;
        }
        softmax(p);
        for (std::size_t s = 0; s <= t; ++s) {
            for (int i = 0; i < v; ++i)
                heads[t][h * v + i] += p[s] * kv[s][h * (n + v) + n + i];
        }
    }

    // down(silu(gate x) * (up x))
    Rows ffn(const std::string& name, std::int64_t intermediate, const Rows& x) const {
        Rows y = w_.times(name + "gate_proj.weight", intermediate, x);
        const Rows up = w_.times(name + "up_proj.weight", intermediate, x);
        for (std::size_t t = 0; t < y.n_rows(); ++t) {
            for (std::size_t i = 0; i < y.width(); ++i)
                y[t][i] = silu(y[t][i]) * up[t][i];
        }
        return w_.times(name + "down_proj.weight", c_.hidden_size, y);
    }

    Rows moe(const std::string& name, const Rows& x) {
        const std::vector<Routing> routings = route_all(name, x);
        Rows y(x.n_rows(), x.width());
        for (int e = 0; e < c_.n_routed_experts; ++e)
            add_expert(fmt::format("{}experts.{}.", name, e), e, routings, x, y);
        if (c_.n_shared_experts > 0) {
            const std::int64_t width = std::int64_t{c_.moe_intermediate_size} * c_.n_shared_experts;
            add(y, ffn(name + "shared_experts.", width, x));
        }
        return y;
    }

    std::vector<Routing> route_all(const std::string& name, const Rows& x) {
        const Rows logits = w_.times(name + "gate.weight", c_.n_routed_experts, x);
        const auto bias = w_.vector(name + "gate.e_score_correction_bias", c_.n_routed_experts);
        std::vector<Routing> routings;
        for (std::size_t t = 0; t < x.n_rows(); ++t) {
            routings.push_back(route(c_, logits[t], bias));
            const std::vector<int>& experts = routings.back().experts;
            output_.routed_experts.insert(output_.routed_experts.end(), experts.begin(),
                                          experts.end());
        }
        return routings;
    }

    // Adds the expert's weighted output to the rows of the tokens that chose it.
    void add_expert(const std::string& name,
                    int expert_idx,
                    const std::vector<Routing>& routings,
                    const Rows& x,
                    Rows& y) const {
        std::vector<std::pair<std::size_t, double>> chosen_by;  // token, weight
        for (std::size_t t = 0; t < routings.size(); ++t) {
            for (std::size_t i = 0; i < routings[t].experts.size(); ++i) {
                if (routings[t].experts[i] == expert_idx)
                    chosen_by.emplace_back(t, routings[t].weights[i]);
            }
        }
        if (chosen_by.empty()) return;
        Rows mine(chosen_by.size(), x.width());
        for (std::size_t i = 0; i < chosen_by.size(); ++i)
            std::ranges::copy(x[chosen_by[i].first], mine[i].begin());
        const Rows out = ffn(name, c_.moe_intermediate_size, mine);
        for (std::size_t i = 0; i < chosen_by.size(); ++i) {
            const auto [t, weight] = chosen_by[i];
            for (std::size_t j = 0; j < y.width(); ++j)
                y[t][j] += weight * out[i][j];
        }
    }

    static void append(std::vector<float>& values, const Rows& x) {
        for (std::size_t t = 0; t < x.n_rows(); ++t) {
            for (const double value : x[t])
                values.push_back(static_cast<float>(value));
        }
    }

    static constexpr const char* kEmbeddings = "model.embed_tokens.weight";

    const ModelConfig& c_;
    Weights w_;
    std::vector<double> frequencies_;
    ReferenceOutput output_;
};

}  // namespace
}  // namespace reference

ReferenceOutput run_reference(const ModelConfig& config,
                              const Checkpoint& checkpoint,
                              std::span<const std::int32_t> tokens) {
    return reference::ReferenceModel(config, checkpoint).run(tokens);
}

}  // namespace baltoro
