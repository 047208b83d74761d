#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/float_formats.h"
#include "base/tensor_view.h"

namespace baltoro {

// The arithmetic of a step's rows. In either, a row's bits depend on its own sequence alone,
// whatever is computed with it and however a prompt is cut into steps: a device chooses kernels and
// their parameters by kind and model, not by the number of rows. The two need not agree in the last
// bits.
enum class StepKind : std::uint8_t {
    prefill,  // fast with many rows of one prompt
    decode,   // fast with few rows of many sequences
};

}  // namespace baltoro

namespace baltoro::device {

class Device;

// Where a buffer lies. `shared` memory is read and written by both the device and the host (mapped
// pinned memory on a GPU); `device` memory may be out of the host's reach.
enum class MemoryKind { device, shared };

// Work of the host between operations of the device, for instance a layer's routed experts. The
// context outlives the step.
struct HostWork {
    void (*run)(void* context);
    void* context;
};

// What a weight is for. Rows of a `lookup` table are read one by one and may stay with the host.
enum class WeightUse { product, lookup };

// Memory of a device; freed with the object. Zero-filled when allocated. The device must outlive
// it.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Device& owner, void* data, std::size_t size_bytes) noexcept
        : owner_(&owner), data_(data), size_bytes_(size_bytes) {}
    ~Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;

    template <typename T>
    T* as() const noexcept {
        return static_cast<T*>(data_);
    }
    std::size_t size_bytes() const noexcept { return size_bytes_; }

  private:
    Device* owner_ = nullptr;
    void* data_ = nullptr;
    std::size_t size_bytes_ = 0;
};

// A weight matrix [n, k] that the device can multiply by: bf16, or e4m3 with one f32 scale per
// 128 x 128 block. Points into device memory or, on the CPU, into the checkpoint. Not owned.
struct Matrix {
    DType dtype = DType::bf16;
    const void* data = nullptr;
    const float* scale = nullptr;
    int n = 0;
    int k = 0;
    std::size_t size_bytes = 0;  // weights and scales
    explicit operator bool() const noexcept { return data != nullptr; }
};

// Shape and element type of a weight that is to be placed: a matrix, or a vector as one row.
Matrix matrix_shape(const TensorView& weight);

// dst[r, :] = table[ids[r], :]                              table bf16 [vocab, n], dst f32
struct Embed {
    Matrix table;
    std::span<const std::int32_t> ids;  // host memory, every id valid
    float* dst;
};

// y = gain * (x / sqrt(mean(x^2) + eps)) per row; dst_f32 and dst_bf16 contiguous, either may be
// null.
struct Norm {
    const float* src;  // f32 [n_rows, n], rows `src_stride` apart
    std::ptrdiff_t src_stride;
    const bf16_t* gain;  // bf16 [n]
    double eps;
    int n_rows;
    int n;
    float* dst_f32;
    bf16_t* dst_bf16;
};

// dst[r, i] (+)= sum_j x[r, j] w[i, j]                      x bf16 [n_rows, k], dst f32 [n_rows, n]
struct Product {
    Matrix w;
    const bf16_t* x;
    int n_rows;
    float* dst;
    bool accumulate;
};

// dst[r, :] += down( silu(gate x[r]) * (up x[r]) )          x bf16 [n_rows, k], dst f32 [n_rows, k]
struct GatedFfn {
    Matrix gate;
    Matrix up;
    Matrix down;
    const bf16_t* x;
    int n_rows;
    float* dst;
};

// Rows [first_row, first_row + n_rows) of a batch: consecutive tokens of one sequence, the first at
// `first_position`. page_table[p / kPageTokens] is the page that holds position p.
struct SequenceRows {
    int first_row;
    int n_rows;
    int first_position;
    std::span<const std::int32_t> page_table;  // host memory
};

constexpr int kPageTokens = 64;

// The shapes of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
struct MlaShapes {
    int n_heads;
    int kv_lora_rank;
    int qk_nope_head_dim;
    int qk_rope_head_dim;
    int v_head_dim;
    int latent_dim() const noexcept { return kv_lora_rank + qk_rope_head_dim; }
    int qk_head_dim() const noexcept { return qk_nope_head_dim + qk_rope_head_dim; }
};

// Writes the cache rows of new tokens: cache[position] = (RMSNorm(c; gain), rope(k_pe)) as bf16.
//   kv     f32 [n_rows, latent_dim]: c, then the unrotated shared key
//   rope   f32 [n_rows, qk_rope_head_dim / 2, 2]: cosine and sine of every row's angles; pair i of
//   a
//          vector, (x[2i], x[2i+1]), becomes (x[2i] cos - x[2i+1] sin, x[2i+1] cos + x[2i] sin)
//   pages  bf16 [n_pages, kPageTokens, latent_dim], one layer's pages
struct WriteLatent {
    MlaShapes shapes;
    std::span<const SequenceRows> sequences;
    const float* kv;
    const bf16_t* gain;
    double eps;
    const float* rope;
    bf16_t* pages;
};

// Causal attention of new tokens over their sequences' cache rows, in absorbed form:
//   q_lat_h = W_UK_h^T q_nope_h;  score = scale (q_lat_h . c + rope(q_pe_h) . k_pe);
//   out_h = W_UV_h (sum softmax(score) c)
//   q      f32 [n_rows, n_heads, qk_head_dim], unrotated
//   kv_b   [n_heads (qk_nope_head_dim + v_head_dim), kv_lora_rank]
//   rope   as in WriteLatent
//   dst    bf16 [n_rows, n_heads, v_head_dim]
struct Attend {
    MlaShapes shapes;
    std::span<const SequenceRows> sequences;
    const float* q;
    Matrix kv_b;
    const float* rope;
    float scale;
    const bf16_t* pages;
    bf16_t* dst;
};

// The noaux_tc router (DeepSeek-V3, arXiv 2412.19437, 2.1.2): s = sigmoid(W x); experts are chosen
// by s + bias, within the topk_group groups whose two best choices sum highest; ties go to the
// lower index; gain = s (unbiased), normalised to sum 1 if norm_topk_prob, times scaling_factor.
//   x     f32 [n_rows, hidden]        w  [n_experts, hidden] bf16 or f32     bias f32 [n_experts]
//   ids   int32 [n_rows, top_k], descending by choice; shared memory; gains f32, likewise
struct Route {
    Matrix w;
    const float* bias;
    int top_k;
    int n_group;
    int topk_group;
    bool norm_topk_prob;
    float scaling_factor;
    const float* x;
    int n_rows;
    std::int32_t* ids;
    float* gains;
};

// The shape of a layer's routed experts.
struct ExpertShape {
    int hidden_size;
    int moe_intermediate_size;
    DType dtype;  // bf16, or e4m3 with block scales
};

// One routed expert in host memory: gate and up [moe_intermediate_size, hidden_size], down
// [hidden_size, moe_intermediate_size], contiguous; scales null for bf16.
struct HostExpert {
    const void* gate;
    const void* up;
    const void* down;
    const float* gate_scale;
    const float* up_scale;
    const float* down_scale;
};

// dst[r, :] += sum over the choices of the last route() whose expert has a slot, in their order, of
// gain * expert(x[r])                                         x bf16 [n_rows, hidden_size], dst f32
struct ResidentExperts {
    ExpertShape shape;
    const std::byte* slots;       // expert_slot_bytes() each
    const std::int32_t* slot_of;  // int32 [n_experts], device memory; -1: the host computes it
    const bf16_t* x;
    int n_rows;
    int top_k;
    float* dst;
};

// A decode step, as begin_repeatable() sees it: its rows, and those whose logits are wanted.
struct StepRows {
    std::span<const SequenceRows> sequences;
    std::span<const std::int32_t> logit_rows;
};

// The one virtual interface: memory, and the operations of a transformer block, executed in the
// order they are called. An operation may return before it has finished; finish() waits for all.
// Pointers are device pointers unless a comment says host. Sizes are in elements. The host blocks
// handed over in arguments (spans) are read before the call returns. Engine thread only.
class Device {
  public:
    virtual ~Device() = default;

    // "cpu, avx512_bf16, 2 threads": for the start line and --version.
    virtual std::string describe() const = 0;

    // Throws Error with the numbers if the memory cannot be had.
    virtual Buffer allocate(std::size_t size_bytes, MemoryKind kind) = 0;

    // Makes a weight of the checkpoint usable; on the CPU it stays where it lies. `scale` is null
    // for bf16 and f32. The tensors must outlive the device. Throws Error if memory is short.
    virtual Matrix place(const TensorView& weight, const TensorView* scale, WeightUse use) = 0;

    virtual void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) = 0;
    virtual void copy_from_host(void* dst, const void* host_src, std::size_t size_bytes) = 0;

    // The arithmetic of the operations that follow.
    virtual void begin_step(StepKind kind) = 0;

    // Within a decode step, when its inputs are on their way: the operations from here to finish()
    // follow from the model, the number of rows and `rows.logit_rows`, and read everything else
    // that differs between steps from memory or from `rows.sequences`. So a device may record them
    // once and repeat them as a whole. The host's works may be others every time.
    virtual void begin_repeatable(const StepRows& rows);

    virtual void embed(const Embed& args) = 0;
    virtual void rms_norm(const Norm& args) = 0;
    virtual void product(const Product& args) = 0;
    virtual void gated_ffn(const GatedFfn& args) = 0;
    virtual void write_latent(const WriteLatent& args) = 0;
    virtual void attend(const Attend& args) = 0;
    virtual void route(const Route& args) = 0;
    // dst[i] += src[i], f32
    virtual void add(const float* src, float* dst, std::size_t n) = 0;

    // Work of the host: it runs on the calling thread after every operation so far has finished,
    // at the latest in finish(). Operations called afterwards may run at the same time, until
    // end_host_work() is called with the number returned; those behind it wait for the work.
    // Numbers are ended in their order. What the work throws comes out of finish() or of this call.
    virtual int begin_host_work(const HostWork& work) = 0;
    virtual void end_host_work(int number) = 0;

    // Makes `src` readable for host work that follows: where the host cannot reach it, copies it
    // to shared memory. Returns where the host finds it.
    virtual const void* publish(const void* src, void* shared_dst, std::size_t size_bytes) = 0;

    // Whether operations run while the host works, so that it pays to have two halves of a step
    // under way.
    virtual bool overlaps_host() const = 0;

    // Routed experts in device memory; only where overlaps_host().
    virtual std::size_t expert_slot_bytes(const ExpertShape& shape) const;
    // Queued; the host memory has been read when the call returns.
    virtual void fill_expert_slot(const ExpertShape& shape, std::byte* slot, const HostExpert& src);
    virtual void add_resident_experts(const ResidentExperts& args);

    // Waits until every operation so far has finished; shared memory is then the host's.
    virtual void finish() = 0;

    // After an operation of the step has thrown: the host does what steps before have left to it,
    // but not what this one has, and the next step can begin.
    virtual void give_up_step() noexcept {}

  private:
    friend class Buffer;
    virtual void release(void* data, std::size_t size_bytes) noexcept = 0;
};

}  // namespace baltoro::device
