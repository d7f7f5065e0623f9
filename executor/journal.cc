#include "executor/journal.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "executor/concurrency.h"
#include "executor/origin.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

constexpr std::string_view kSchema = R"(
  CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, uid TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    created INTEGER NOT NULL, finished INTEGER, reason TEXT NOT NULL, message TEXT NOT NULL,
    origin TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS runs_by_age ON runs (created DESC);
  CREATE TABLE IF NOT EXISTS events (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, sequence INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (run, sequence)) WITHOUT ROWID;
)";
constexpr std::string_view kColumns =
    "SELECT id, uid, kind, name, created, finished, reason, message, parent, owner, concurrency, rowid "
    "FROM runs ";
constexpr std::array<std::string_view, 3> kOwners{"", "server", "nobody"};

int64_t nanoseconds(Time time) {
  return time.time_since_epoch().count();
}

RunRecord record(const Statement& row) {
  RunRecord out{.id = row.text(0),
                .uid = row.text(1),
                .kind = row.text(2),
                .name = row.text(3),
                .created = Time(Duration(row.integer(4))),
                .finished = {},
                .reason = row.text(6),
                .message = row.text(7),
                .parent = row.text(8),
                .owner = Owner::Terminal,
                .group = row.text(10),
                .order = row.integer(11)};
  if (!row.is_null(5)) out.finished = Time(Duration(row.integer(5)));
  const auto owner = std::ranges::find(kOwners, row.text(9));
  if (owner != kOwners.end()) out.owner = static_cast<Owner>(owner - kOwners.begin());
  return out;
}

// Kubernetes' own alphabet for generated names: no vowels, so no words.
std::string random_suffix() {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  const std::string random = random_hex(10);
  std::string out;
  for (size_t i = 0; i < 5; ++i)
    out += kAlphabet[std::stoul(random.substr(i * 4, 4), nullptr, 16) % kAlphabet.size()];
  return out;
}

std::string random_uid() {
  std::string hex = random_hex(16);
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] % 4];
  for (size_t at : {20, 16, 12, 8}) hex.insert(at, "-");
  return hex;
}

// Journals of earlier versions do not have them.
void add_columns(Database& database) {
  for (const std::string column : {"parent", "owner", "options", "concurrency"}) {
    Statement known = database.prepare("SELECT 1 FROM pragma_table_info('runs') WHERE name = ?");
    if (!known.bind(1, column).step())
      database.execute("ALTER TABLE runs ADD COLUMN " + column + " TEXT NOT NULL DEFAULT ''");
  }
}

std::string_view word(Owner owner) {
  return kOwners.at(static_cast<size_t>(owner));
}

}  // namespace

Journal::Journal(const std::filesystem::path& database) : database_(database) {
  database_.execute(kSchema);
  add_columns(database_);
}

RunRecord Journal::create(const dag::Plan& plan, Time now, const NewRun& given) {
  const std::lock_guard lock(mutex_);
  RunRecord run{.id = given.id,
                .uid = random_uid(),
                .kind = std::string(plan.kind_name()),
                .name = plan.name,
                .created = now,
                .finished = {},
                .reason = "Running",
                .message = {},
                .parent = given.parent,
                .owner = given.owner,
                .group = given.parent.empty() ? concurrency_group(plan) : ""};
  const std::string origin = origin_of(plan).dump();
  Transaction transaction(database_);
  Statement taken = database_.prepare("SELECT 1 FROM runs WHERE id = ?");
  while (run.id.empty() || taken.bind(1, run.id).step()) {
    run.id = plan.run_prefix + random_suffix();
    taken.reset();
  }
  taken.reset();
  database_
      .prepare(
          "INSERT INTO runs (id, uid, kind, name, created, reason, message, origin, parent, owner, options, "
          "concurrency) VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?)")
      .bind(1, run.id)
      .bind(2, run.uid)
      .bind(3, run.kind)
      .bind(4, run.name)
      .bind(5, nanoseconds(now))
      .bind(6, run.reason)
      .bind(7, origin)
      .bind(8, run.parent)
      .bind(9, word(run.owner))
      .bind(10, given.options)
      .bind(11, run.group)
      .run();
  run.order = database_.last_row_id();
  transaction.commit();
  return run;
}

void Journal::append(std::string_view id, const dag::Plan& plan, std::span<const Event> events) {
  if (events.empty()) return;
  const std::lock_guard lock(mutex_);
  failpoint("journal.begin");
  Transaction transaction(database_);
  Statement last = database_.prepare("SELECT COALESCE(MAX(sequence), 0) FROM events WHERE run = ?");
  last.bind(1, id).step();
  int64_t sequence = last.integer(0);
  last.reset();
  Statement insert = database_.prepare("INSERT INTO events (run, sequence, event) VALUES (?, ?, ?)");
  for (const Event& event : events) {
    insert.bind(1, id).bind(2, ++sequence).bind(3, to_json(event, plan).dump()).run();
    if (event.kind == Event::Kind::RunStarted) update(id, "Running", "");
    if (event.kind != Event::Kind::RunFinished) continue;
    update(id, event.reason, event.message);
    database_.prepare("UPDATE runs SET finished = ? WHERE id = ?")
        .bind(1, nanoseconds(event.at))
        .bind(2, id)
        .run();
  }
  failpoint("journal.commit");
  transaction.commit();
  failpoint("journal.committed");
}

void Journal::update(std::string_view id, std::string_view reason, std::string_view message) {
  database_.prepare("UPDATE runs SET reason = ?, message = ? WHERE id = ? AND finished IS NULL")
      .bind(1, reason)
      .bind(2, message)
      .bind(3, id)
      .run();
}

void Journal::set_waiting(std::string_view id, std::string_view reason, std::string_view message) {
  const std::lock_guard lock(mutex_);
  update(id, reason, message);
}

void Journal::set_owner(std::string_view id, Owner owner, std::string_view options) {
  const std::lock_guard lock(mutex_);
  database_.prepare("UPDATE runs SET owner = ?, options = ? WHERE id = ?")
      .bind(1, word(owner))
      .bind(2, options)
      .bind(3, id)
      .run();
}

std::vector<RunRecord> Journal::list(size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<RunRecord> out;
  Statement rows = database_.prepare(std::string(kColumns) +
                                     "WHERE parent = '' ORDER BY created DESC, rowid DESC LIMIT ?");
  rows.bind(1, static_cast<int64_t>(limit));
  while (rows.step()) out.push_back(record(rows));
  return out;
}

std::vector<RunRecord> Journal::children(std::string_view parent) const {
  const std::lock_guard lock(mutex_);
  std::vector<RunRecord> out;
  Statement rows = database_.prepare(std::string(kColumns) + "WHERE parent = ? ORDER BY created");
  rows.bind(1, parent);
  while (rows.step()) out.push_back(record(rows));
  return out;
}

std::vector<RunRecord> Journal::unfinished() const {
  const std::lock_guard lock(mutex_);
  std::vector<RunRecord> out;
  Statement rows = database_.prepare(std::string(kColumns) + "WHERE finished IS NULL ORDER BY created");
  while (rows.step()) out.push_back(record(rows));
  return out;
}

RunRecord Journal::find(std::string_view id) const {
  if (id.empty() || id == "last") {
    std::vector<RunRecord> newest = list(1);
    if (newest.empty()) throw Error(ErrorKind::NotFound, "nothing has run yet", "start one: kiln run FILE");
    return std::move(newest.front());
  }
  {
    const std::lock_guard lock(mutex_);
    Statement row = database_.prepare(std::string(kColumns) + "WHERE id = ?");
    if (row.bind(1, id).step()) return record(row);
  }
  std::vector<std::string> names;
  for (const RunRecord& run : list(kAll)) names.push_back(run.id);
  const auto near = nearest(id, names);
  throw Error(ErrorKind::NotFound, "there is no run \"" + std::string(id) + "\"",
              near ? "did you mean `" + *near + "`?" : "kiln runs list shows them");
}

dag::Plan Journal::plan(std::string_view id) const {
  json origin;
  {
    const std::lock_guard lock(mutex_);
    Statement row = database_.prepare("SELECT origin FROM runs WHERE id = ?");
    if (!row.bind(1, id).step())
      throw Error(ErrorKind::NotFound, "there is no run \"" + std::string(id) + "\"");
    origin = json::parse(row.text(0));
  }
  try {
    return plan_of(origin);
  } catch (const Error& error) {
    throw Error(error.kind(), "run " + std::string(id) + " cannot be read: " + error.message(),
                "its logs are still there: kiln logs " + std::string(id));
  }
}

std::vector<Event> Journal::events(std::string_view id, const dag::Plan& plan) const {
  const std::lock_guard lock(mutex_);
  std::vector<Event> out;
  Statement rows = database_.prepare("SELECT event FROM events WHERE run = ? ORDER BY sequence");
  rows.bind(1, id);
  while (rows.step()) {
    const json value = json::parse(rows.text(0), nullptr, false);
    if (value.is_discarded())
      throw Error(ErrorKind::Invalid, "the journal of run " + std::string(id) + " is damaged");
    out.push_back(event_from_json(value, plan));
  }
  return out;
}

std::string Journal::options(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  Statement row = database_.prepare("SELECT options FROM runs WHERE id = ?");
  return row.bind(1, id).step() ? row.text(0) : std::string();
}

void Journal::remove(std::string_view id) {
  const std::lock_guard lock(mutex_);
  database_.prepare("DELETE FROM runs WHERE id = ?").bind(1, id).run();
}

State replay(const Journal& journal, std::string_view id, const dag::Plan& plan) {
  State state;
  for (const Event& event : journal.events(id, plan)) apply(plan, state, event);
  return state;
}

}  // namespace kiln::executor
