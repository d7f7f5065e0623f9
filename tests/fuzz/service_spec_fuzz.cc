// Service documents come from whoever reaches the API.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "serving/fields.h"
#include "serving/service_spec.h"
#include "serving/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::serving;
  nlohmann::json document;
  try {
    document = parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const kiln::Error&) {
    return 0;
  }
  // Whatever it is, these read what can be read.
  ContainerSettings::of(document);
  ServiceSpec::stored(document);
  ServiceSpec service;
  try {
    service = ServiceSpec::parse(document);
  } catch (const kiln::Error& error) {
    if (error.kind() != kiln::ErrorKind::Invalid) std::abort();
    return 0;
  }
  const ContainerSettings settings = ContainerSettings::of(service.revision_template);
  if (settings.image.empty() || settings.port < 1 || settings.timeout.count() < 1) std::abort();
  const nlohmann::json once = service.to_json();
  if (ServiceSpec::parse(once).to_json() != once) std::abort();
  // What was accepted can be shown.
  ServiceRecord record{.spec = service};
  const RevisionRecord revision{.name_space = service.name_space,
                                .name = service.name + "-00001",
                                .service = service.name,
                                .generation = 1,
                                .revision_template = service.revision_template,
                                .image_digest = "sha256:0"};
  service_json(record, {revision}, "localhost", "localhost:8080").dump();
  configuration_json(record, {revision}).dump();
  route_json(record, {revision}, "localhost", "localhost:8080").dump();
  revision_json(revision, true, 1).dump();
  return 0;
}
