// The program's entry: reads the command line, runs one subcommand, turns errors into a line on stderr and a status.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

#include "configuration.h"
#include "subcommands.h"

int main(int argc, char** argv) {
  CLI::App program("Outpost runs, adapts and federates ONNX models where the data is.", "outpost");
  program.set_version_flag("--version", "outpost " OUTPOST_VERSION);
  program.require_subcommand(0, 1);
  outpost::cli::Run run;
  outpost::cli::add_tour(program, run);
  outpost::cli::add_run(program, run);
  outpost::cli::add_inspect(program, run);
  outpost::cli::add_bench(program, run);
  outpost::cli::add_profile(program, run);
  outpost::cli::add_convert(program, run);
  outpost::cli::add_quantize(program, run);
  outpost::cli::add_operators(program, run);
  outpost::cli::add_verify(program, run);
  auto report = [](const std::exception& error, int status) {
    std::fprintf(stderr, "outpost: %s\n", error.what());
    return status;
  };
  try {
    program.parse(argc, argv);
    outpost::cli::choose_instruction_set();
    outpost::cli::offer_image_decoders();
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    return report(error, 2);
  }
  try {
    if (run) return run();
    std::fputs(program.help().c_str(), stderr);
    return 2;
  } catch (const std::exception& error) {
    return report(error, 1);
  }
}
