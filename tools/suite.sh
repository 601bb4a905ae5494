# Sourced after prepare.sh: the GoogleTest suite of one build folder.

# suite FOLDER CTEST_ARGUMENT...: CTest, then one count a GoogleTest test; the last line is the count.
suite() {
  local folder=$1 status=0
  shift
  rm -rf "$folder/test-results"
  mkdir -p "$folder/test-results"
  rm -f "$folder/Testing/Temporary/LastTestsFailed.log"
  ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure "$@" || status=$?
  tools/count_tests "$folder" || status=1
  return $status
}
