#include "compile/constants.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "kernels/denormals.hpp"
#include "kernels/finite.hpp"
#include "kernels/invoke.hpp"
#include "kernels/kernel_paths.hpp"
#include "support/hash.hpp"

namespace rulegrad {
namespace {

// Only counted: CompileOptions::fold_constants switches it.
const KernelPath folded_path("constants: folded", KernelPath::Choice::only);
// Only counted: CompileOptions::blocked_layouts switches it.
const KernelPath blocked_path("constants: folded into blocks of channels", KernelPath::Choice::only);
// Only counted: forms are made where a path asks for them.
const KernelPath form_path("constants: a form is made", KernelPath::Choice::only);
// Only counted: that forms are shared is memory saved.
const KernelPath shared_path("constants: a form is shared", KernelPath::Choice::only);

/// Numbers of rules and fills come anew with each program: up to so many bytes are compared, not their
/// buffers.
constexpr std::size_t tiny = 64;

std::size_t hash_of(const Tensor& value) {
  std::size_t hash = static_cast<std::size_t>(value.dtype());
  for (const std::int64_t extent : value.dims()) boost::hash_combine(hash, static_cast<std::size_t>(extent));
  if (value.bytes() <= tiny)
    boost::hash_combine(
        hash, std::hash<std::string_view>()({reinterpret_cast<const char*>(value.data()), value.bytes()}));
  else
    boost::hash_combine(hash, std::hash<const void*>()(value.data()));
  return hash;
}

bool equal_values(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) return false;
  return a.data() == b.data() || (a.bytes() <= tiny && std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

std::size_t hash_of(const Derivation& derivation) {
  std::size_t hash = std::hash<const void*>()(derivation.kernel.get());
  boost::hash_combine(hash, derivation.attributes.hash());
  for (const std::int64_t extent : derivation.dims)
    boost::hash_combine(hash, static_cast<std::size_t>(extent));
  for (const auto& operand : derivation.operands)
    boost::hash_combine(hash, std::hash<const void*>()(operand.get()));
  boost::hash_combine(hash, static_cast<std::size_t>(derivation.block));
  return hash;
}

}  // namespace

Constant::Constant(Tensor stored, std::shared_ptr<Counters> counters) : counters_(std::move(counters)) {
  derivation_.dtype = stored.dtype();
  derivation_.dims = stored.dims();
  stored_ = std::make_shared<const Tensor>(std::move(stored));
  known_finite_ = stored_->known_finite();
}

Constant::Constant(std::string label, Derivation derivation, std::shared_ptr<Counters> counters)
    : label_(std::move(label)), derivation_(std::move(derivation)), counters_(std::move(counters)) {}

std::size_t Constant::bytes() const {
  return static_cast<std::size_t>(element_count(dims())) * size_of(dtype());
}

bool Constant::owns_nothing() const {
  return is_stored() || (derivation_.same_elements && derivation_.operands[0]->owns_nothing());
}

std::shared_ptr<const Tensor> Constant::value() {
  if (stored_) return stored_;
  const std::lock_guard lock(value_mutex_);
  if (auto held = value_.lock()) return held;
  auto made = computed();
  value_ = made;
  computed_ = true;
  return made;
}

std::shared_ptr<const Tensor> Constant::computed() {
  std::vector<std::shared_ptr<const Tensor>> held;
  for (const auto& operand : derivation_.operands) held.push_back(operand->value());
  if (derivation_.same_elements) {
    // Whoever holds the elements in this shape holds them in the other one, so that they are not computed
    // again for that.
    return {new Tensor(held[0]->reshaped(derivation_.dims)),
            [keep = held[0]](const Tensor* tensor) { delete tensor; }};
  }
  std::vector<Tensor> operands;
  for (const auto& operand : held) operands.push_back(*operand);
  ++counters_->folds;
  (block() == 0 ? folded_path : blocked_path).taken();
  const DenormalsAreZero flush(derivation_.flush_denormals);
  return std::make_shared<const Tensor>(
      compute(*derivation_.kernel, label_, operands, {derivation_.dtype, Shape::of(derivation_.dims)},
              derivation_.attributes, derivation_.check_finite, derivation_.block));
}

ConstantForm Constant::form(const AnyFormRecipe& recipe) {
  const std::lock_guard lock(forms_mutex_);
  std::erase_if(forms_, [](const WeakForm& known) { return known.value.expired(); });
  for (const WeakForm& known : forms_)
    if (known.recipe == recipe)
      if (auto held = known.value.lock()) {
        shared_path.taken();
        return {std::move(held), known.bytes};
      }
  const auto elements = value();
  ConstantForm made = recipe.make({dtype(), dims(), elements->data(), block()});
  ++counters_->packs;
  form_path.taken();
  forms_.push_back({recipe, made.value, made.bytes});
  return made;
}

void Constant::require_finite(const std::string& label) {
  if (bytes() > tiny) ++counters_->checks;
  if (const auto at = first_non_finite(dtype(), stored_->data(), stored_->size()))
    fail_non_finite(label, "holds", "repair the model, or compile with check_finite off", dtype(), dims(),
                    stored_->data(), *at);
  known_finite_ = true;
}

std::shared_ptr<Constant> ConstantStore::stored(const Tensor& value) {
  const std::size_t hash = hash_of(value);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = stored_.equal_range(hash);
  const auto found = std::find_if(
      first, last, [&](const auto& entry) { return equal_values(*entry.second->value(), value); });
  if (found != last) {
    if (value.known_finite()) found->second->note_finite();
    return found->second;
  }
  return stored_.emplace(hash, std::make_shared<Constant>(value, counters_))->second;
}

std::shared_ptr<Constant> ConstantStore::derived(Derivation derivation, const std::string& label) {
  const std::size_t hash = hash_of(derivation);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = derived_.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (auto known = it->second.lock(); known && known->derivation() == derivation) return known;
  if (derived_.size() >= purge_at_) {
    std::erase_if(derived_, [](const auto& entry) { return entry.second.expired(); });
    purge_at_ = std::max<std::size_t>(1024, 2 * derived_.size());
  }
  auto made = std::make_shared<Constant>(label, std::move(derivation), counters_);
  derived_.emplace(hash, made);
  return made;
}

void ConstantStore::note(const KeptMemory& memory) {
  if (memory.bytes == 0) return;
  const std::lock_guard lock(mutex_);
  const auto found = place_.find(memory.address);
  if (found != place_.end()) {
    memory_.splice(memory_.end(), memory_, found->second);
    return;
  }
  place_.emplace(memory.address, memory_.insert(memory_.end(), memory));
}

void ConstantStore::trim(std::size_t most) {
  std::list<KeptMemory> freed;  // outside of the lock
  const std::lock_guard lock(mutex_);
  std::size_t idle = 0;
  for (auto it = memory_.end(); it != memory_.begin();) {
    --it;
    if (it->value.use_count() != 1 || (idle += it->bytes) <= most) continue;
    idle -= it->bytes;
    place_.erase(it->address);
    const auto next = std::next(it);
    freed.splice(freed.end(), memory_, it);
    it = next;
  }
}

SharedConstants ConstantStore::use() const {
  SharedConstants use{counters_->folds, counters_->packs, counters_->checks, 0, 0};
  const std::lock_guard lock(mutex_);
  for (const KeptMemory& memory : memory_) {
    use.bytes += memory.bytes;
    if (memory.value.use_count() == 1) use.idle_bytes += memory.bytes;
  }
  return use;
}

std::shared_ptr<ConstantStore> store_of(Graph& graph) {
  static std::mutex making;
  const std::lock_guard lock(making);
  auto store = graph.annex<ConstantStore>();
  if (store == nullptr) graph.set_annex(store = std::make_shared<ConstantStore>());
  return store;
}

void share_store(Graph& excerpt, Graph& whole) {
  excerpt.set_annex(store_of(whole));
}

SharedConstants shared_constants(const Graph& graph) {
  const auto store = graph.annex<ConstantStore>();
  return store ? store->use() : SharedConstants{};
}

void drop_idle_constants(const Graph& graph) {
  if (const auto store = graph.annex<ConstantStore>()) store->trim(0);
}

}  // namespace rulegrad
