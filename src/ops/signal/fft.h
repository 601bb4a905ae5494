// The fast Fourier transform of any length, in O(n log n): lengths made of primes up to 13 by a mixed-radix Stockham
// autosort (radices 4, 2, then the odd primes), others by Bluestein's chirp through a power of two.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace outpost {

template <class T>
struct Complex {
  T re, im;
};

// Tables for one length; immutable, shared by threads.
template <class T>
class Fft {
 public:
  explicit Fft(int64_t n);
  int64_t length() const noexcept { return n_; }
  // Complex values of scratch that transform() and transform_real() need.
  int64_t scratch_count() const noexcept;
  // x(k) = sum_j x(j) e^(-+2 pi i jk/n), in place; the inverse is not scaled.
  void transform(Complex<T>* x, bool inverse, Complex<T>* scratch) const;
  // The first n/2 + 1 values of the transform of n real ones: x is n values, y has room for n/2 + 1.
  void transform_real(const T* x, Complex<T>* y, Complex<T>* scratch) const;

 private:
  struct Chirp;
  void stockham(Complex<T>* x, Complex<T>* other, bool inverse) const;
  void bluestein(Complex<T>* x, bool inverse, Complex<T>* scratch) const;
  int64_t n_;
  std::vector<int> factors_;         // empty: by chirp
  std::vector<Complex<T>> roots_;    // e^(-2 pi i j/n)
  std::shared_ptr<const Chirp> chirp_;
  std::shared_ptr<const Fft> half_;  // for real input of even length
};

// Keeps the tables of the last length asked for, so that steady runs build nothing. Thread-safe.
template <class T>
class FftCache {
 public:
  std::shared_ptr<const Fft<T>> get(int64_t n) const {
    std::lock_guard lock(mutex_);
    if (!last_ || last_->length() != n) last_ = std::make_shared<const Fft<T>>(n);
    return last_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Fft<T>> last_;
};

// What DFT and STFT prepare.
struct FftTables {
  FftCache<float> narrow;
  FftCache<double> wide;
  template <class T>
  std::shared_ptr<const Fft<T>> get(int64_t n) const {
    if constexpr (sizeof(T) == 4) return narrow.get(n);
    else return wide.get(n);
  }
};

}  // namespace outpost
