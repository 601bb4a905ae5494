// Every allocation of the test program, counted and failed on demand: operator new and the tensor allocator. Off under
// sanitizers, which have an operator new of their own: tests that need the hook are left out there.
#pragma once
#include <atomic>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OUTPOST_ALLOCATION_HOOK 0
#else
#define OUTPOST_ALLOCATION_HOOK 1
#endif

namespace outpost::test {

extern std::atomic<long> allocations;  // made so far
extern std::atomic<long> blocks;       // alive
extern std::atomic<long> fails_in;     // the allocation that fails: 1 is the next; 0 or less: none does

// The tensor allocator that counts too, while this lives.
struct CountedTensors {
  CountedTensors();
  ~CountedTensors();
};

}  // namespace outpost::test
