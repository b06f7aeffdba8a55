#include "allocation/counters.hpp"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#include <cerrno>
#include <cstddef>

#if TSDL_TEST_COUNTS
extern "C" {

void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* pointer);

void* malloc(std::size_t size) noexcept {
  ++test::allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++test::allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  ++test::allocations;
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ++test::allocations;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++test::allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  ++test::allocations;
  void* const pointer = __libc_memalign(alignment, size);
  if (!pointer) return ENOMEM;
  *result = pointer;
  return 0;
}
void free(void* pointer) noexcept { __libc_free(pointer); }

// What locks: counted, then the real one.
#define TSDL_TEST_COUNTED(counter, result, name, parameters, arguments)                       \
  result name parameters {                                                                    \
    static const auto real = reinterpret_cast<result(*) parameters>(dlsym(RTLD_NEXT, #name)); \
    ++test::counter;                                                                          \
    return real arguments;                                                                    \
  }
TSDL_TEST_COUNTED(locks, int, pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
TSDL_TEST_COUNTED(locks, int, pthread_mutex_trylock, (pthread_mutex_t * lock), (lock))
TSDL_TEST_COUNTED(locks, int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
TSDL_TEST_COUNTED(locks, int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
TSDL_TEST_COUNTED(locks, int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
TSDL_TEST_COUNTED(locks, int, sem_wait, (sem_t * lock), (lock))

}  // extern "C"
#endif
