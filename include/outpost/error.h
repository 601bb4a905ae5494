// Errors: one exception type, a code for programs and a message for people.
// A message says where, what was found, what was expected and what to do.
#pragma once
#include <stdexcept>
#include <string>

namespace outpost {

enum class ErrorCode : int {
  invalid_argument = 1,  // the caller's mistake: unknown input name, wrong dtype or shape
  invalid_model = 2,     // a file or graph that breaks its format or its operators' rules
  invalid_data = 3,      // a value met at run time that an operator cannot accept (an index out of range, x / 0)
  unsupported = 4,       // legal, but not built here
  not_found = 5,         // a file, a name
  io = 6,                // reading or writing failed
  limit = 7,             // a memory, depth, count or size limit would be passed
  cancelled = 8,         // the caller asked to stop
  deadline = 9,          // the run's deadline passed
  internal = 10,         // our bug
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace outpost
