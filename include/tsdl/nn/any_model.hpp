// A model whose type is known only at run time, for programs that read a configuration.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/nn/window.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Holds any Model of this Scalar by value. It is a Model itself: trained, saved and streamed like
/// the model that it holds, at one virtual call per batch or push.
template <class Scalar_>
class AnyModel {
  struct Held;
  struct HeldStream;

 public:
  using Scalar = Scalar_;

  /// The held model's Cache, created on first use, and again when used with a model of another
  /// type.
  class Cache {
   public:
    Cache() = default;
    Cache(Cache&&) noexcept = default;
    Cache& operator=(Cache&&) noexcept = default;

   private:
    friend class AnyModel;
    template <class C>
    C& as() {
      if (!of_ || of_ != &tag<C>) {
        held_ = std::shared_ptr<void>(std::make_shared<C>());
        of_ = &tag<C>;
      }
      return *static_cast<C*>(held_.get());
    }
    template <class C>
    static constexpr char tag = 0;
    const char* of_ = nullptr;
    std::shared_ptr<void> held_;
  };

  /// Holds `model`. What was moved from holds none, and every call but an assignment throws Error.
  template <Model M>
  requires(!std::is_same_v<M, AnyModel> && std::is_same_v<typename M::Scalar, Scalar>)
      AnyModel(M model)
      : held_(std::make_unique<Holder<M>>(std::move(model))) {}
  AnyModel(const AnyModel& other) : held_(other.held().clone()) {}
  AnyModel(AnyModel&&) noexcept = default;
  AnyModel& operator=(const AnyModel& other) {
    held_ = other.held().clone();
    return *this;
  }
  AnyModel& operator=(AnyModel&&) noexcept = default;
  ~AnyModel() = default;

  /// The held model if its type is M, otherwise null.
  template <class M>
  const M* get_if() const noexcept {
    const auto* holder = dynamic_cast<const Holder<M>*>(held_.get());
    return holder ? &holder->model : nullptr;
  }

  template <class F>
  void visit(F&& f) {
    held().visit([&](Parameter<Scalar>& parameter) { f(parameter); });
  }
  template <class F>
  void visit(F&& f) const {
    held().visit_fixed([&](const Parameter<Scalar>& parameter) { f(parameter); });
  }
  void repack() { held().repack(); }
  void zero_gradients() { held().zero_gradients(); }
  Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache, const Pass& pass = {}) const {
    return held().forward(batch, cache, pass);
  }
  /// Throws: also OptionError when `dx` is given, and the held model has no gradients of inputs.
  void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs,
                const Sequence<Scalar>& dx = {}) {
    held().backward(batch, cache, doutputs, dx);
  }
  /// Whether the held model's backward takes a dx.
  bool has_input_gradients() const { return held().has_input_gradients(); }
  Config describe() const { return held().describe(); }
  Index inputs() const { return held().inputs(); }
  Index outputs() const { return held().outputs(); }
  Index target_steps(Index T) const { return held().target_steps(T); }
  /// The attention weights of the last forward with this cache, [B][T]; empty for a model without
  /// attention pooling (nn/network.hpp).
  std::span<const Scalar> attention(Cache& cache) const { return held().attention(cache); }
  Task task() const { return held().task(); }
  void set_task(Task task) { held().set_task(std::move(task)); }
  Index parameter_count() const { return tsdl::parameter_count(*this); }

  /// The held model's window (WindowOf in nn/window.hpp).
  class Window {
   public:
    Window(const AnyModel& model, Index T) : held_(model.held().window(T)) {}
    Window(const Window& other) : held_(other.held_->clone()) {}
    Window(Window&&) noexcept = default;
    Window& operator=(const Window& other) {
      held_ = other.held_->clone();
      return *this;
    }
    Window& operator=(Window&&) noexcept = default;
    ~Window() = default;

    void push(const AnyModel& model, const Scalar* x) noexcept { held_->push(*model.held_, x); }
    std::span<const Scalar> run(const AnyModel& model) noexcept { return held_->run(*model.held_); }
    void reset() noexcept { held_->reset(); }
    void state(StateBytes& bytes) { held_->state(bytes); }
    void restore(const AnyModel& model) noexcept { held_->restore(*model.held_); }

   private:
    std::unique_ptr<HeldStream> held_;
  };

  /// Carries the held model's state. The template arguments must keep their defaults.
  template <class Weight = Scalar, Index Input = Eigen::Dynamic, Index Hidden = Eigen::Dynamic>
  class Carried {
    static_assert(std::is_same_v<Weight, Scalar> && Input == Eigen::Dynamic &&
                      Hidden == Eigen::Dynamic,
                  "sizes and weights are those of a model whose type is known when compiling");

   public:
    /// max_steps: the most rows, for a model that keeps something of each. Throws: ShapeError when
    /// the model cannot carry its state, or not so many rows; OptionError when it is not causal.
    explicit Carried(const AnyModel& model, Index max_steps = 0)
        : held_(model.held().carried(max_steps)) {}
    Carried(const Carried& other) : held_(other.held_->clone()) {}
    Carried(Carried&&) noexcept = default;
    Carried& operator=(const Carried& other) {
      held_ = other.held_->clone();
      return *this;
    }
    Carried& operator=(Carried&&) noexcept = default;
    ~Carried() = default;

    std::span<const Scalar> push(const AnyModel& model, const Scalar* x) noexcept {
      held_->push(*model.held_, x);
      return held_->run(*model.held_);
    }
    void prepare(const AnyModel& model) noexcept { held_->prepare(*model.held_); }
    /// Whether it holds max_steps rows: push() then returns nothing, and changes nothing.
    bool is_full() const noexcept { return held_->is_full(); }
    void reset() noexcept { held_->reset(); }
    void state(StateBytes& bytes) { held_->state(bytes); }
    void restore(const AnyModel& model) noexcept { held_->restore(*model.held_); }

   private:
    std::unique_ptr<HeldStream> held_;
  };

 private:
  using Visit = std::function<void(Parameter<Scalar>&)>;
  using VisitFixed = std::function<void(const Parameter<Scalar>&)>;

  /// The held model. Throws: Error when this was moved from.
  Held& held() {
    if (!held_) throw Error("AnyModel: it was moved from, and holds no model");
    return *held_;
  }
  const Held& held() const { return const_cast<AnyModel&>(*this).held(); }

  struct Held {
    virtual ~Held() = default;
    virtual std::unique_ptr<Held> clone() const = 0;
    virtual void visit(const Visit& f) = 0;
    virtual void visit_fixed(const VisitFixed& f) const = 0;
    virtual void repack() = 0;
    virtual void zero_gradients() = 0;
    virtual Outputs<Scalar> forward(const Batch<Scalar>&, Cache&, const Pass&) const = 0;
    virtual void backward(const Batch<Scalar>&, Cache&, const Scalar*, const Sequence<Scalar>&) = 0;
    virtual bool has_input_gradients() const = 0;
    virtual Config describe() const = 0;
    virtual Index inputs() const = 0;
    virtual Index outputs() const = 0;
    virtual Index target_steps(Index T) const = 0;
    virtual std::span<const Scalar> attention(Cache&) const = 0;
    virtual Task task() const = 0;
    virtual void set_task(Task task) = 0;
    virtual std::unique_ptr<HeldStream> window(Index T) const = 0;
    virtual std::unique_ptr<HeldStream> carried(Index max_steps) const = 0;
  };

  struct HeldStream {
    virtual ~HeldStream() = default;
    virtual std::unique_ptr<HeldStream> clone() const = 0;
    virtual void push(const Held& model, const Scalar* x) noexcept = 0;
    virtual std::span<const Scalar> run(const Held& model) noexcept = 0;
    virtual void prepare(const Held&) noexcept {}
    virtual bool is_full() const noexcept { return false; }
    virtual void reset() noexcept = 0;
    virtual void state(StateBytes& bytes) = 0;
    virtual void restore(const Held& model) noexcept = 0;
  };

  template <class M>
  struct Holder final : Held {
    explicit Holder(M its_model) : model(std::move(its_model)) {}
    std::unique_ptr<Held> clone() const override { return std::make_unique<Holder>(model); }
    void visit(const Visit& f) override { model.visit(f); }
    void visit_fixed(const VisitFixed& f) const override { model.visit(f); }
    void repack() override { model.repack(); }
    void zero_gradients() override { model.zero_gradients(); }
    Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache,
                            const Pass& pass) const override {
      return model.forward(batch, cache.template as<typename M::Cache>(), pass);
    }
    void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs,
                  const Sequence<Scalar>& dx) override {
      auto& its = cache.template as<typename M::Cache>();
      if (!dx.data) return model.backward(batch, its, doutputs);
      if constexpr (GivesInputGradients<M>)
        model.backward(batch, its, doutputs, dx);
      else
        throw OptionError("AnyModel: a model of kind ", model.describe().kind,
                          " has no gradients of its inputs");
    }
    bool has_input_gradients() const override {
      if constexpr (requires { model.has_input_gradients(); })
        return model.has_input_gradients();
      else
        return GivesInputGradients<M>;
    }
    Config describe() const override { return model.describe(); }
    Index inputs() const override { return model.inputs(); }
    Index outputs() const override { return model.outputs(); }
    Index target_steps(Index T) const override { return tsdl::target_steps(model, T); }
    std::span<const Scalar> attention([[maybe_unused]] Cache& cache) const override {
      if constexpr (requires(typename M::Cache & its) { model.attention(its); })
        return model.attention(cache.template as<typename M::Cache>());
      else
        return {};
    }
    Task task() const override { return model.task(); }
    void set_task(Task task) override { model.set_task(std::move(task)); }
    std::unique_ptr<HeldStream> window(Index T) const override {
      return std::make_unique<WindowHolder<M>>(WindowOf<M>(model, T));
    }
    std::unique_ptr<HeldStream> carried(Index max_steps) const override {
      return std::make_unique<CarriedHolder<M>>(
          internal::make_carried<CarriedOf<M>>(model, max_steps));
    }
    M model;
  };

  template <class M>
  struct WindowHolder final : HeldStream {
    explicit WindowHolder(WindowOf<M> its_window) : window(std::move(its_window)) {}
    static const M& of(const Held& model) noexcept {
      return static_cast<const Holder<M>&>(model).model;
    }
    std::unique_ptr<HeldStream> clone() const override {
      return std::make_unique<WindowHolder>(window);
    }
    void push(const Held& model, const Scalar* x) noexcept override { window.push(of(model), x); }
    std::span<const Scalar> run(const Held& model) noexcept override {
      return window.run(of(model));
    }
    void reset() noexcept override { window.reset(); }
    void state(StateBytes& bytes) override { window.state(bytes); }
    void restore(const Held& model) noexcept override { window.restore(of(model)); }
    WindowOf<M> window;
  };

  template <class M>
  struct CarriedHolder final : HeldStream {
    explicit CarriedHolder(CarriedOf<M> its_stream) : stream(std::move(its_stream)) {}
    static const M& of(const Held& model) noexcept {
      return static_cast<const Holder<M>&>(model).model;
    }
    std::unique_ptr<HeldStream> clone() const override {
      return std::make_unique<CarriedHolder>(stream);
    }
    void push(const Held& model, const Scalar* x) noexcept override {
      outputs = stream.push(of(model), x);
    }
    std::span<const Scalar> run(const Held&) noexcept override { return outputs; }
    void prepare(const Held& model) noexcept override {
      if constexpr (requires { stream.prepare(of(model)); }) stream.prepare(of(model));
    }
    bool is_full() const noexcept override { return internal::is_full(stream); }
    void reset() noexcept override { stream.reset(); }
    void state(StateBytes& bytes) override { stream.state(bytes); }
    void restore(const Held& model) noexcept override { stream.restore(of(model)); }
    CarriedOf<M> stream;
    std::span<const Scalar> outputs{};
  };

  std::unique_ptr<Held> held_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
