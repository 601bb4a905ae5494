// Stockham: with n = p m left to do and s signals interleaved, one pass reads p strided values, makes a p-point transform,
// turns it by roots of unity and writes it where it belongs in order; s grows to s p, n shrinks to m.
// Bluestein: jk = (j^2 + k^2 - (k - j)^2) / 2 makes any transform a convolution with a chirp.
// Sources: Van Loan, Computational Frameworks for the FFT (1992), 1.7 and 4.2.
#include "ops/signal/fft.h"

#include <algorithm>
#include <cmath>

namespace outpost {
namespace {

constexpr int largest_radix = 13;
constexpr double two_pi = 6.283185307179586476925286766559;

template <class T>
Complex<T> operator+(Complex<T> a, Complex<T> b) { return {a.re + b.re, a.im + b.im}; }
template <class T>
Complex<T> operator-(Complex<T> a, Complex<T> b) { return {a.re - b.re, a.im - b.im}; }
template <class T>
Complex<T> operator*(Complex<T> a, Complex<T> b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
template <class T>
Complex<T> conjugate(Complex<T> a) { return {a.re, -a.im}; }

template <class T>
Complex<T> root(int64_t j, int64_t n) {
  const double angle = -two_pi * (static_cast<double>(j) / static_cast<double>(n));
  return {static_cast<T>(std::cos(angle)), static_cast<T>(std::sin(angle))};
}

// The radices of n, or none if a larger prime is left.
std::vector<int> factor(int64_t n) {
  std::vector<int> factors;
  for (int p : {4, 2, 3, 5, 7, 11, 13})
    for (; n % p == 0; n /= p) factors.push_back(p);
  if (n != 1) factors.clear();
  return factors;
}

int64_t next_power_of_two(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

// w: the roots that turn the pass's results, w[0] for r = 1.
template <class T>
void pass2(const Complex<T>* x, Complex<T>* y, int64_t m, int64_t s, const Complex<T>* w) {
  for (int64_t k = 0; k < s; ++k) {
    const Complex<T> a = x[k], b = x[k + s * m];
    y[k] = a + b;
    y[k + s] = (a - b) * w[0];
  }
}

template <class T>
void pass4(const Complex<T>* x, Complex<T>* y, int64_t m, int64_t s, const Complex<T>* w, bool inverse) {
  for (int64_t k = 0; k < s; ++k) {
    const Complex<T> a = x[k], b = x[k + s * m], c = x[k + 2 * s * m], d = x[k + 3 * s * m];
    const Complex<T> ac = a + c, ca = a - c, bd = b + d, db = b - d;
    const Complex<T> turned = inverse ? Complex<T>{-db.im, db.re} : Complex<T>{db.im, -db.re};
    y[k] = ac + bd;
    y[k + s] = (ca + turned) * w[0];
    y[k + 2 * s] = (ac - bd) * w[1];
    y[k + 3 * s] = (ca - turned) * w[2];
  }
}

template <class T>
void pass_any(const Complex<T>* x, Complex<T>* y, int p, int64_t m, int64_t s, const Complex<T>* w, const Complex<T>* small) {
  for (int64_t k = 0; k < s; ++k)
    for (int r = 0; r < p; ++r) {
      Complex<T> sum = x[k];
      for (int j = 1; j < p; ++j) sum = sum + x[k + s * m * j] * small[j * r % p];
      y[k + s * r] = r == 0 ? sum : sum * w[r - 1];
    }
}

}  // namespace

template <class T>
struct Fft<T>::Chirp {
  Fft<T> convolution;                  // a power of two, at least 2 n - 1
  std::vector<Complex<T>> chirp;       // e^(-i pi j^2 / n)
  std::vector<Complex<T>> spectrum;    // of the conjugate chirp, wrapped around

  explicit Chirp(int64_t n) : convolution(next_power_of_two(2 * n - 1)), chirp(static_cast<size_t>(n)) {
    const int64_t m = convolution.length();
    spectrum.assign(static_cast<size_t>(m), {0, 0});
    int64_t square = 0;  // j^2 mod 2n
    for (int64_t j = 0; j < n; ++j) {
      chirp[static_cast<size_t>(j)] = root<T>(square, 2 * n);
      const Complex<T> c = conjugate(chirp[static_cast<size_t>(j)]);
      spectrum[static_cast<size_t>(j)] = c;
      if (j > 0) spectrum[static_cast<size_t>(m - j)] = c;
      square = (square + 2 * j + 1) % (2 * n);
    }
    std::vector<Complex<T>> scratch(static_cast<size_t>(convolution.scratch_count()));
    convolution.transform(spectrum.data(), false, scratch.data());
  }
};

template <class T>
Fft<T>::Fft(int64_t n) : n_(n), factors_(factor(n)), roots_(static_cast<size_t>(n)) {
  for (int64_t j = 0; j < n; ++j) roots_[static_cast<size_t>(j)] = root<T>(j, n);
  if (n > 1 && factors_.empty()) chirp_ = std::make_shared<const Chirp>(n);
  if (n > 2 && n % 2 == 0 && !factors_.empty()) half_ = std::make_shared<const Fft>(n / 2);
}

template <class T>
int64_t Fft<T>::scratch_count() const noexcept {
  return chirp_ ? 2 * chirp_->convolution.length() + n_ : 2 * n_;
}

template <class T>
void Fft<T>::transform(Complex<T>* x, bool inverse, Complex<T>* scratch) const {
  if (n_ <= 1) return;
  if (chirp_) bluestein(x, inverse, scratch);
  else stockham(x, scratch, inverse);
}

template <class T>
void Fft<T>::stockham(Complex<T>* x, Complex<T>* other, bool inverse) const {
  Complex<T>*from = x, *to = other;
  int64_t s = 1, left = n_;
  for (int p : factors_) {
    const int64_t m = left / p;
    Complex<T> w[largest_radix], small[largest_radix];
    for (int j = 0; j < p; ++j) small[j] = inverse ? conjugate(roots_[static_cast<size_t>(n_ / p * j)]) : roots_[static_cast<size_t>(n_ / p * j)];
    for (int64_t q = 0; q < m; ++q) {
      for (int r = 1; r < p; ++r) {
        const Complex<T> turn = roots_[static_cast<size_t>(q * r * s)];  // q r s < n
        w[r - 1] = inverse ? conjugate(turn) : turn;
      }
      const Complex<T>* in = from + s * q;
      Complex<T>* out = to + s * p * q;
      if (p == 2) pass2(in, out, m, s, w);
      else if (p == 4) pass4(in, out, m, s, w, inverse);
      else pass_any(in, out, p, m, s, w, small);
    }
    std::swap(from, to);
    s *= p;
    left = m;
  }
  if (from != x) std::copy_n(from, n_, x);
}

template <class T>
void Fft<T>::bluestein(Complex<T>* x, bool inverse, Complex<T>* scratch) const {
  const int64_t m = chirp_->convolution.length();
  const auto &chirp = chirp_->chirp, &spectrum = chirp_->spectrum;
  Complex<T>*a = scratch, *work = scratch + m;
  for (int64_t j = 0; j < n_; ++j) {
    const Complex<T> value = inverse ? conjugate(x[j]) : x[j];  // the inverse is the conjugate of the conjugate's transform
    a[j] = value * chirp[static_cast<size_t>(j)];
  }
  std::fill(a + n_, a + m, Complex<T>{0, 0});
  chirp_->convolution.transform(a, false, work);
  for (int64_t j = 0; j < m; ++j) a[j] = a[j] * spectrum[static_cast<size_t>(j)];
  chirp_->convolution.transform(a, true, work);
  const T scale = static_cast<T>(1.0 / static_cast<double>(m));
  for (int64_t k = 0; k < n_; ++k) {
    const Complex<T> y = a[k] * chirp[static_cast<size_t>(k)];
    x[k] = {y.re * scale, inverse ? -y.im * scale : y.im * scale};
  }
}

// Even lengths: the values in pairs are a complex signal of half the length, whose transform holds those of the even and
// of the odd values.
template <class T>
void Fft<T>::transform_real(const T* x, Complex<T>* y, Complex<T>* scratch) const {
  const int64_t half = n_ / 2;
  Complex<T>* z = scratch;
  if (!half_) {
    for (int64_t j = 0; j < n_; ++j) z[j] = {x[j], 0};
    transform(z, false, scratch + n_);
    std::copy_n(z, half + 1, y);
    return;
  }
  for (int64_t j = 0; j < half; ++j) z[j] = {x[2 * j], x[2 * j + 1]};
  half_->transform(z, false, scratch + half);
  for (int64_t k = 0; k <= half; ++k) {
    const Complex<T> a = z[k % half], b = conjugate(z[(half - k) % half]);
    const Complex<T> even = a + b, odd = a - b, turned = Complex<T>{odd.im, -odd.re} * roots_[static_cast<size_t>(k)];
    y[k] = {(even.re + turned.re) / 2, (even.im + turned.im) / 2};
  }
}

template class Fft<float>;
template class Fft<double>;

}  // namespace outpost
