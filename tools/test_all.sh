# The slow half of ./test, sourced by it with --all. Each part builds in its own folder, build-<preset>.

# Odd configurations of the release build (tests/configs/README.md): NAME VARIABLE=VALUE...
configuration() {
  local name=$1
  shift
  counted "suite, $name" env "$@" bash -c 'source tools/suite.sh; suite build'
}

cross_build() {
  local emulator=qemu-aarch64-static
  command -v $emulator >/dev/null || { echo "no $emulator"; return 77; }
  suite build-aarch64
}

fuzzer() {
  local program=$1 corpus dictionary=()
  corpus=$source_dir/build-fuzz/corpus/$(basename "$program")  # make_seeds has filled it
  mkdir -p "$corpus"
  case $program in *onnx*) dictionary=(-dict="$source_dir/tests/fuzz/onnx.dict") ;; esac
  # A find is written beside the logs; memory and time limits make bombs count as finds.
  "$program" -max_total_time=60 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    "${dictionary[@]}" -artifact_prefix="$logs/$(basename "$program")-" "$corpus"
}

say "odd configurations"
configuration "generic kernels" OUTPOST_ISA=generic
configuration "AVX2 kernels" OUTPOST_ISA=avx2
configuration "1 thread" OUTPOST_THREADS=1
configuration "3 threads" OUTPOST_THREADS=3
configuration "16 threads" OUTPOST_THREADS=16
configuration "no passes" OUTPOST_PASSES=none
configuration "memory filled with NaN" OUTPOST_DEBUG_FILL=nan
counted "each pass off" tools/check_passes build/outpost

say "sanitizers"
export ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
build_preset asan
counted "suite, address and undefined" suite build-asan
build_preset tsan
OUTPOST_THREADS=3 counted "suite, thread" suite build-tsan -R '^(base|runtime|api|kernels)/'

if [ -f tests/fuzz/CMakeLists.txt ]; then
  say "fuzzers, 60 s each"
  build_preset fuzz
  for program in build-fuzz/fuzz_*; do
    [ -x "$program" ] && [ ! -d "$program" ] || continue
    check "$(basename "$program")" fuzzer "$program"
  done
fi

say "64-bit Arm"
build_preset aarch64
counted "suite, aarch64" cross_build
