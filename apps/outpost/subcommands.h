// The subcommands of `outpost`, one file each. Every function adds its subcommand to the program; when the user calls
// it, `run` is set to what main then runs, whose result is the exit status (0 done, 1 failed, 2 wrong usage).
#pragma once
#include <functional>

namespace CLI {
class App;
}

namespace outpost::cli {

using Run = std::function<int()>;

void add_tour(CLI::App& program, Run& run);
void add_run(CLI::App& program, Run& run);
void add_inspect(CLI::App& program, Run& run);
void add_bench(CLI::App& program, Run& run);
void add_profile(CLI::App& program, Run& run);
void add_convert(CLI::App& program, Run& run);
void add_quantize(CLI::App& program, Run& run);
void add_operators(CLI::App& program, Run& run);
void add_verify(CLI::App& program, Run& run);

// JPEG and PNG for the ImageDecoder operator.
void offer_image_decoders();

}  // namespace outpost::cli
