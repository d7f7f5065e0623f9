#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace kiln {

// One prepared statement: bind, step through rows, read columns. Positions count from 1 when binding and
// from 0 when reading, as in SQLite. Errors throw Infrastructure with SQLite's message.
class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql);
  Statement(Statement&& other) noexcept;
  ~Statement();

  Statement& bind(int position, int64_t value);
  Statement& bind(int position, std::string_view value);  // bytes are copied
  Statement& bind_null(int position);
  bool step();   // true while there is a row
  void run();    // step to the end and reset
  void reset();  // ready to bind and run again

  int64_t integer(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// A SQLite database in WAL mode with synchronous=FULL (what is acknowledged is on disk) and foreign keys.
// One connection; not thread-safe: each thread opens its own or callers hold a lock.
class Database {
 public:
  explicit Database(const std::filesystem::path& file);
  Database(Database&&) noexcept;
  ~Database();

  void execute(std::string_view sql);  // one or more statements, no results
  Statement prepare(std::string_view sql) { return Statement(handle_, sql); }
  int64_t last_row_id() const;
  int changes() const;

 private:
  sqlite3* handle_;
};

// BEGIN IMMEDIATE … COMMIT; rolled back unless commit() was called.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace kiln
