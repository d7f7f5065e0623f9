#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/store/collect.h"
#include "registry/store/scrub.h"
#include "registry/store/store.h"
#include "serving/records.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct StoreOptions {
  std::string grace = "1h", output;
  bool dry_run = false;
};

// The images of all revisions of all services: a rollback must find them.
std::vector<Digest> deployed_images(Context& context) {
  std::vector<Digest> out;
  if (!fs::exists(context.dirs().database())) return out;
  serving::Records records(context.dirs().database());
  for (const serving::ServiceRecord& service : records.services())
    for (const auto& revision : records.revisions(service.spec.name_space, service.spec.name))
      if (auto digest = Digest::parse(revision.image_digest)) out.push_back(std::move(*digest));
  return out;
}

std::string count(uint64_t number, std::string_view thing) {
  return std::to_string(number) + " " + std::string(thing) + (number == 1 ? "" : "s");
}

void gc(const StoreOptions& options, Context& context) {
  const auto grace = parse_duration(options.grace);
  if (!grace || *grace < Duration::zero())
    throw Error(ErrorKind::Usage, "--grace " + options.grace + " is no duration", "write 30m or 2h");
  registry::CollectOptions how;
  how.grace = *grace;
  how.dry_run = options.dry_run;
  how.keep = deployed_images(context);
  how.stop = context.stop();
  const registry::CollectReport report = registry::collect(context.store(), how);
  if (options.output == "json") {
    print(json_text({{"blobs", report.blobs},
                     {"snapshots", report.snapshots},
                     {"quarantined", report.quarantined},
                     {"bytes", report.bytes},
                     {"young", report.young},
                     {"dryRun", options.dry_run}}));
    return;
  }
  print((options.dry_run ? "would free " : "freed ") + format_bytes(report.bytes) + ": " +
        count(report.blobs, "blob") + ", " + count(report.snapshots, "unpacked layer") + ", " +
        count(report.quarantined, "damaged blob") + "\n");
  if (report.young > 0)
    say("note: " + count(report.young, "unused blob") + " stayed: younger than " + options.grace +
        ", or of a pull or build under way");
}

void verify(const StoreOptions& options, Context& context) {
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const registry::ScrubReport report = registry::scrub(context.store(), threads, {}, context.stop());
  json missing = json::array();
  std::string words;
  for (const Digest& digest : report.missing) {
    const bool damaged = std::ranges::count(report.damaged, digest) > 0;
    missing.push_back({{"digest", digest.text()}, {"damaged", damaged}, {"usedBy", report.names.at(digest)}});
    words += digest.text() + (damaged ? " was damaged" : " is missing");
    for (const std::string& name : report.names.at(digest)) words += "\n  needed by " + name;
    words += "\n";
  }
  for (const Digest& digest : report.damaged)
    if (!report.missing.contains(digest)) words += digest.text() + " was damaged\n  needed by no image\n";
  if (options.output == "json")
    print(json_text({{"blobs", report.blobs},
                     {"bytes", report.bytes},
                     {"damaged", report.damaged.size()},
                     {"missing", missing}}));
  else
    print(words + "read " + count(report.blobs, "blob") + ", " + format_bytes(report.bytes) + ": " +
          std::to_string(report.damaged.size()) + " damaged\n");
  if (report.damaged.empty() && report.missing.empty()) return;
  say("damaged blobs are in " + (context.store().root() / "quarantine").string() +
      " now; pull, push or build the images again: that brings them anew");
  context.exit_code = 1;
}

}  // namespace

void add_image_store(CLI::App& image, Context& context) {
  auto options = std::make_shared<StoreOptions>();
  CLI::App* collector = image.add_subcommand("gc",
                                             "Remove what no image, service or running step needs\n\n"
                                             "  kiln image gc --dry-run\n"
                                             "  kiln image gc --grace 10m\n");
  collector->add_option("--grace", options->grace, "Spare what was written more recently")
      ->capture_default_str();
  collector->add_flag("-n,--dry-run", options->dry_run, "Say only what would go");
  add_output_option(*collector, options->output);
  collector->callback([options, &context] { gc(*options, context); });

  CLI::App* verifier = image.add_subcommand("verify", "Read all blobs; put damaged ones aside");
  add_output_option(*verifier, options->output);
  verifier->callback([options, &context] { verify(*options, context); });
}

}  // namespace kiln::cli
