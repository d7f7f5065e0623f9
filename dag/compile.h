#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "dag/documents.h"
#include "dag/plan.h"

namespace kiln::dag {

// A Task or Pipeline that is not among the documents: `taskRef: {resolver: git, params: […]}`.
struct RemoteRef {
  std::string resolver;  // bundles, git, http, hub
  std::string kind;      // Task, Pipeline or StepAction
  std::map<std::string, std::string> params;
  std::string key() const;  // one line that names it, the same for the same reference
};

// Fetches remote references; the one way in which dag/ reaches outside.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // The YAML text of the object. Throws kiln::Error, whose message and hint become a Diagnostic.
  virtual std::string fetch(const RemoteRef& reference) = 0;
};

// Knows only what an earlier compile has fetched (Plan::remote); anything else is NotFound.
class StoredResolver final : public Resolver {
 public:
  explicit StoredResolver(std::map<std::string, std::string> texts = {}) : texts_(std::move(texts)) {}
  std::string fetch(const RemoteRef& reference) override;

 private:
  std::map<std::string, std::string> texts_;
};

struct Compiled {
  std::optional<Plan> plan;  // absent exactly when `diagnostics` has errors
  Diagnostics diagnostics;   // all of them, sorted by file and place
};

// Finds what to run among the documents, checks everything that can be known before running, and orders it.
// Pure but for `resolver`. Diagnostics from load() are the caller's to keep: pass them in as `so_far`, so
// that one sorted list comes out and no plan is made from a file with mistakes.
//
// What runs: `request.target`, else the only PipelineRun or TaskRun, else the only Pipeline (that no other
// refers to), else the only Task. -p values win over the PipelineRun's, those over defaults. A workspace
// that nobody binds gets a fresh folder per run.
Compiled compile(const Documents& documents, const RunRequest& request, Resolver& resolver,
                 Diagnostics so_far = {});

// All checks on all documents, without choosing one to run and without missing values being a mistake. What
// is remote is taken for right unless `fetch_remote` says to ask the resolver for it.
Diagnostics lint(const Documents& documents, Resolver& resolver, Diagnostics so_far = {},
                 bool fetch_remote = false);

// What the user lets a run do beyond its sandboxes.
struct Allowances {
  bool privileged = false;  // --allow-privileged
  bool host_paths = false;  // --allow-host-path
};

// What is valid Tekton and cannot be run by this version of Kiln, or not without being allowed to; empty when
// all of the plan can.
Diagnostics unsupported(const Plan& plan, const Allowances& allowed = {});

// Whether `fieldRef` of an environment variable may name it, and `resourceFieldRef`.
bool is_pod_field(std::string_view path);
bool is_container_resource(std::string_view name);

// load() of each source and compile(), from what a Plan keeps of itself.
Compiled recompile(const std::map<std::string, std::string>& sources,
                   const std::map<std::string, std::string>& remote, const RunRequest& request);

}  // namespace kiln::dag
