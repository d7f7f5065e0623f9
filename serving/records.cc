#include "serving/records.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS services (
  namespace TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, generation INTEGER NOT NULL,
  template_generation INTEGER NOT NULL, uid TEXT NOT NULL, created TEXT NOT NULL,
  latest_created TEXT NOT NULL, latest_ready TEXT NOT NULL, PRIMARY KEY (namespace, name));
CREATE TABLE IF NOT EXISTS revisions (
  namespace TEXT NOT NULL, name TEXT NOT NULL, service TEXT NOT NULL, generation INTEGER NOT NULL,
  document TEXT NOT NULL, image_digest TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  message TEXT NOT NULL, created TEXT NOT NULL, PRIMARY KEY (namespace, name));
)sql";

constexpr const char* kServiceColumns =
    "SELECT document, generation, template_generation, uid, created, latest_created, latest_ready FROM "
    "services";
constexpr const char* kRevisionColumns =
    "SELECT namespace, name, service, generation, document, image_digest, state, reason, message, created "
    "FROM revisions";

std::string_view name_of(RevisionState state) {
  switch (state) {
    case RevisionState::Deploying:
      return "Deploying";
    case RevisionState::Ready:
      return "Ready";
    case RevisionState::Failed:
      return "Failed";
  }
  return "Failed";
}

RevisionState state_of(std::string_view name) {
  if (name == "Ready") return RevisionState::Ready;
  return name == "Deploying" ? RevisionState::Deploying : RevisionState::Failed;
}

ServiceRecord read_service(const Statement& row) {
  return {.spec = ServiceSpec::stored(json::parse(row.text(0))),
          .generation = row.integer(1),
          .template_generation = row.integer(2),
          .uid = row.text(3),
          .created = row.text(4),
          .latest_created = row.text(5),
          .latest_ready = row.text(6)};
}

RevisionRecord read_revision(const Statement& row) {
  return {.name_space = row.text(0),
          .name = row.text(1),
          .service = row.text(2),
          .generation = row.integer(3),
          .revision_template = json::parse(row.text(4)),
          .image_digest = row.text(5),
          .state = state_of(row.text(6)),
          .reason = row.text(7),
          .message = row.text(8),
          .created = row.text(9)};
}

}  // namespace

Records::Records(const std::filesystem::path& file) : database_(file) {
  database_.execute(kSchema);
}

std::vector<ServiceRecord> Records::services() {
  Statement query = database_.prepare(std::string(kServiceColumns) + " ORDER BY namespace, name");
  std::vector<ServiceRecord> services;
  while (query.step()) services.push_back(read_service(query));
  return services;
}

std::optional<ServiceRecord> Records::service(const std::string& name_space, const std::string& name) {
  Statement query = database_.prepare(std::string(kServiceColumns) + " WHERE namespace = ? AND name = ?");
  query.bind(1, name_space).bind(2, name);
  if (!query.step()) return std::nullopt;
  return read_service(query);
}

void Records::save(const ServiceRecord& s) {
  Statement insert = database_.prepare("INSERT OR REPLACE INTO services VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, s.spec.name_space).bind(2, s.spec.name).bind(3, s.spec.to_json().dump());
  insert.bind(4, s.generation).bind(5, s.template_generation).bind(6, s.uid).bind(7, s.created);
  insert.bind(8, s.latest_created).bind(9, s.latest_ready).run();
}

void Records::remove(const std::string& name_space, const std::string& name) {
  Transaction transaction(database_);
  database_.prepare("DELETE FROM revisions WHERE namespace = ? AND service = ?")
      .bind(1, name_space)
      .bind(2, name)
      .run();
  database_.prepare("DELETE FROM services WHERE namespace = ? AND name = ?")
      .bind(1, name_space)
      .bind(2, name)
      .run();
  transaction.commit();
}

std::vector<RevisionRecord> Records::revisions(const std::string& name_space, const std::string& service) {
  Statement query =
      database_.prepare(std::string(kRevisionColumns) +
                        " WHERE namespace = ? AND (? = '' OR service = ?) ORDER BY service, generation");
  query.bind(1, name_space).bind(2, service).bind(3, service);
  std::vector<RevisionRecord> revisions;
  while (query.step()) revisions.push_back(read_revision(query));
  return revisions;
}

std::optional<RevisionRecord> Records::revision(const std::string& name_space, const std::string& name) {
  Statement query = database_.prepare(std::string(kRevisionColumns) + " WHERE namespace = ? AND name = ?");
  query.bind(1, name_space).bind(2, name);
  if (!query.step()) return std::nullopt;
  return read_revision(query);
}

void Records::save(const RevisionRecord& r) {
  Statement insert =
      database_.prepare("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, r.name_space).bind(2, r.name).bind(3, r.service).bind(4, r.generation);
  insert.bind(5, r.revision_template.dump()).bind(6, r.image_digest).bind(7, name_of(r.state));
  insert.bind(8, r.reason).bind(9, r.message).bind(10, r.created).run();
}

void Records::save(const ServiceRecord& service, const RevisionRecord& revision) {
  Transaction transaction(database_);
  save(revision);
  save(service);
  transaction.commit();
}

}  // namespace kiln::serving
