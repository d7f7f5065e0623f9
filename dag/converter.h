#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dag/convert.h"
#include "dag/convert_resources.h"
#include "dag/convert_tree.h"
#include "dag/convert_variables.h"

namespace kiln::dag {

// The inside of convert(): one object. Functions that take a Node& edit a copy in place; those that take a
// const Node& make one. Used by convert*.cc only.
class Converter {
 public:
  Converter(YamlFile& file, DecodeContext& context, bool alpha)
      : tree_(file), context_(context), alpha_(alpha) {}

  const Node& object(const Node& object, std::string_view kind);

 private:
  // convert.cc
  void reference(Node& owner, std::string_view key, std::string_view kind, std::string_view service_account);
  void when(Node& owner);
  void drop(Node& owner, std::initializer_list<std::string_view> keys, std::string_view why);

  // convert_task.cc
  void task_spec_at(Node& owner, std::string_view key);
  const Node* task_spec(const Node& spec);
  void step(Node& step, bool is_template);
  void old_defaults(Node& step, const Node* step_template, bool resources_used);
  void alpha_inputs(Node& spec, const Node*& inputs, const Node*& outputs);
  void task_resources(Node& spec, const std::vector<DeclaredResource>& resources);
  void keep_unconverted(Node& spec, const std::vector<DeclaredResource>& resources);
  const Node* clone_step(const DeclaredResource& resource, std::string name);
  void mount_output_folder(Node& spec, const DeclaredResource& resource);

  // convert_pipeline.cc
  struct PipelineResources {
    std::vector<DeclaredResource> list;
    std::unordered_map<std::string, const DeclaredResource*> by_name;
    std::unordered_set<std::string> written;    // resources that some task has as an output
    std::unordered_set<std::string> producers;  // task name, newline, resource
  };
  void pipeline_spec_at(Node& owner, std::string_view key);
  const Node* pipeline_spec(const Node& spec);
  void declare_pipeline_resource(Node& spec, const DeclaredResource& resource);
  void note_outputs(const Node& spec, std::string_view key, PipelineResources& resources);
  void pipeline_task(Node& task, const PipelineResources& resources, VariableRewriter& rewriter);
  const DeclaredResource* find_resource(const PipelineResources& resources, const std::string& name,
                                        Position at);
  void bind_resources(Node& task, const Node& bindings, DeclaredResource::Owner owner,
                      const PipelineResources& resources);
  void bind_from(Node& task, const Node& binding, const std::string& name, const DeclaredResource& resource,
                 const PipelineResources& resources);
  void bind_folder(Node& task, std::string workspace, const DeclaredResource& resource,
                   const std::string& producer, Position at);

  // convert_run.cc
  void pipeline_run(Node& spec);
  void task_run(Node& spec);
  void task_run_resources(Node& spec, const Node* bindings, DeclaredResource::Owner owner);
  void custom_run(Node& spec);
  void step_overrides(Node& owner);
  void service_accounts(Node& spec);
  void pod_fields(Node& spec);

  // Items for lists of `{name: …, …}`.
  const Node* named(std::string name, Position at, std::string_view key = {}, const Node* value = nullptr);
  void declare_params(Node& spec, const DeclaredResource& resource);
  void add(Node& owner, std::string_view key, Position at, const Node* item);

  Tree tree_;
  DecodeContext& context_;
  bool alpha_;                                          // v1alpha1
  std::unordered_map<const Node*, const Node*> specs_;  // each once, however many aliases
};

}  // namespace kiln::dag
