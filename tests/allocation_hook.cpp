// operator new and delete of the test program: see the header.
#include "allocation_hook.h"

#include <cstdlib>
#include <new>

#include "outpost/tensor.h"

#if OUTPOST_ALLOCATION_HOOK

namespace outpost::test {

std::atomic<long> allocations{0}, blocks{0}, fails_in{0};

namespace {

bool refused() {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return fails_in.load(std::memory_order_relaxed) > 0 && fails_in.fetch_sub(1, std::memory_order_relaxed) == 1;
}

void* counted(std::size_t bytes, std::size_t alignment) {
  void* p = refused() ? nullptr : std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (p) blocks.fetch_add(1, std::memory_order_relaxed);
  return p;
}

void release(void* p) {
  if (p) blocks.fetch_sub(1, std::memory_order_relaxed);
  std::free(p);
}

}  // namespace

CountedTensors::CountedTensors() {
  set_allocator({.allocate = [](size_t bytes, size_t alignment, void*) { return counted(bytes, alignment); },
                 .free = [](void* p, size_t, void*) { release(p); }});
}
CountedTensors::~CountedTensors() { set_allocator({}); }

}  // namespace outpost::test

void* operator new(std::size_t bytes) {
  if (void* p = outpost::test::counted(bytes, 16)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* p = outpost::test::counted(bytes, static_cast<std::size_t>(alignment))) return p;
  throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return outpost::test::counted(bytes, 16); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return outpost::test::counted(bytes, 16); }
void operator delete(void* p) noexcept { outpost::test::release(p); }
void operator delete[](void* p) noexcept { outpost::test::release(p); }
void operator delete(void* p, std::size_t) noexcept { outpost::test::release(p); }
void operator delete[](void* p, std::size_t) noexcept { outpost::test::release(p); }
void operator delete(void* p, std::align_val_t) noexcept { outpost::test::release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { outpost::test::release(p); }

#endif
