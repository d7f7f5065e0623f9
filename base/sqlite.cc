#include "base/sqlite.h"

#include <sqlite3.h>
#include <system_error>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln {
namespace {

[[noreturn]] void fail(sqlite3* database) {
  const int code = sqlite3_errcode(database);
  const bool not_writable = code == SQLITE_READONLY || code == SQLITE_CANTOPEN;
  const std::string hint = code == SQLITE_FULL   ? "free some disk space"
                           : not_writable        ? "its folder has to be writable; --root names another"
                           : code == SQLITE_BUSY ? "another kiln process holds the database; try again"
                                                 : "";
  const char* file = sqlite3_db_filename(database, "main");
  std::string message = "state database " + std::string(file ? file : "") + ": " + sqlite3_errmsg(database);
  // SQLite does not say why it could not open one of its files; the folder mostly does.
  if (not_writable && file && ::access(fs::path(file).parent_path().c_str(), W_OK) != 0)
    message += " (" + std::generic_category().message(errno) + ")";
  throw Error(ErrorKind::Infrastructure, message, hint);
}

}  // namespace

Statement::Statement(sqlite3* database, std::string_view sql) : statement_(nullptr) {
  if (sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr) !=
      SQLITE_OK)
    fail(database);
}

Statement::Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement& Statement::bind(int position, int64_t value) {
  sqlite3_bind_int64(statement_, position, value);
  return *this;
}

Statement& Statement::bind(int position, std::string_view value) {
  sqlite3_bind_text64(statement_, position, value.data() ? value.data() : "", value.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_null(int position) {
  sqlite3_bind_null(statement_, position);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  fail(sqlite3_db_handle(statement_));
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes ? std::string(static_cast<const char*>(bytes), size) : std::string();
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Database::Database(const std::filesystem::path& file) : handle_(nullptr) {
  if (file.has_parent_path()) make_dirs(file.parent_path(), 0700);
  if (sqlite3_open_v2(file.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
      SQLITE_OK) {
    const std::string message = handle_ ? sqlite3_errmsg(handle_) : "out of memory";
    sqlite3_close(handle_);
    throw Error(ErrorKind::Infrastructure, "cannot open " + file.string() + ": " + message);
  }
  sqlite3_busy_timeout(handle_, 10'000);
  // Folding the log into the database at each close would cost every short command two more waits for the
  // disk; it happens by itself once the log has a megabyte.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA "
      "wal_autocheckpoint=250");
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Database::~Database() {
  sqlite3_close(handle_);
}

void Database::execute(std::string_view sql) {
  if (sqlite3_exec(handle_, std::string(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail(handle_);
}

int64_t Database::last_row_id() const {
  return sqlite3_last_insert_rowid(handle_);
}
int Database::changes() const {
  return sqlite3_changes(handle_);
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {  // SQLite rolls back by itself when the connection is in error
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace kiln
