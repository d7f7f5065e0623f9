#include "executor/folder_content.h"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::executor {
namespace {

constexpr size_t kPiece = 256 << 10;

// Hands the content of an open file on, piece by piece; returns its size.
template <class Sink>
uint64_t read_pieces(int fd, const std::string& name, Sink sink) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPiece);
  uint64_t size = 0;
  for (;;) {
    const ssize_t n = ::read(fd, buffer.get(), kPiece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read " + name);
    if (n == 0) return size;
    size += static_cast<uint64_t>(n);
    sink(std::string_view(buffer.get(), static_cast<size_t>(n)));
  }
}

class Reader {
 public:
  Reader(FolderContent& out, const ContentLimits& limits) : out_(out), limits_(limits) {}

  void folder(const OpenFolder& folder, const std::string& prefix, int depth) {
    folder.check_depth(depth);
    for (const std::string& name : folder.names()) {
      const auto status = folder.stat(name);
      if (!status) continue;  // gone since
      const mode_t mode = status->st_mode & 07777;
      const std::string path = prefix + name;
      if (S_ISDIR(status->st_mode)) {
        add(path, {FolderEntry::Kind::Folder, mode, 0, {}});
        this->folder(folder.folder(name), path + "/", depth + 1);
      } else if (S_ISLNK(status->st_mode)) {
        add(path, {FolderEntry::Kind::Link, 0, 0, folder.read_link(name)});
      } else if (S_ISREG(status->st_mode)) {
        struct stat opened {};
        const UniqueFd fd = folder.open_file(name, opened);
        add(path, file(fd.get(), opened, folder.path() / name));
      }
    }
  }

  FolderEntry file(int fd, const struct stat& status, const fs::path& name) {
    if (bytes_ + static_cast<uint64_t>(status.st_size) > limits_.bytes)
      throw Error(ErrorKind::Invalid, "more than " + std::to_string(limits_.bytes >> 20) + " MiB in files");
    Hasher hasher;
    const uint64_t size =
        read_pieces(fd, name.string(), [&](std::string_view piece) { hasher.update(piece); });
    bytes_ += size;
    return {FolderEntry::Kind::File, status.st_mode & 07777, size, hasher.finish().text()};
  }

  void add(std::string path, FolderEntry entry) {
    if (out_.size() >= limits_.entries)
      throw Error(ErrorKind::Invalid, "more than " + std::to_string(limits_.entries) + " files");
    out_.emplace(std::move(path), std::move(entry));
  }

 private:
  FolderContent& out_;
  const ContentLimits& limits_;
  uint64_t bytes_ = 0;
};

// The folder in which the last name of `path` stands, and that name.
std::pair<OpenFolder, std::string> place_of(const fs::path& root, const std::string& path, bool make) {
  OpenFolder folder(root);
  size_t begin = 0;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
    const std::string name = path.substr(begin, slash - begin);
    folder = make ? folder.make_folder(name) : folder.folder(name);
    begin = slash + 1;
  }
  return {std::move(folder), path.substr(begin)};
}

void copy_to(int from, int to, const std::string& name) {
  read_pieces(from, name, [&](std::string_view piece) { write_all(to, piece, name); });
}

}  // namespace

FolderContent read_content(const fs::path& path, const ContentLimits& limits) {
  FolderContent out;
  Reader reader(out, limits);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return out;
  if (S_ISDIR(status.st_mode)) {
    reader.folder(OpenFolder(fs::canonical(path)), "", 1);
  } else if (S_ISREG(status.st_mode)) {
    const UniqueFd fd = open_file(path, O_RDONLY);
    reader.add("", reader.file(fd.get(), status, path));
  }
  return out;
}

Digest digest_of(const FolderContent& content) {
  Hasher hasher;
  for (const auto& [path, entry] : content) {
    const std::string line = path + '\0' + static_cast<char>('0' + static_cast<int>(entry.kind)) +
                             std::to_string(entry.mode) + '\0' + entry.text + '\0';
    hasher.update(line);
  }
  return hasher.finish();
}

nlohmann::json content_json(const FolderContent& content) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [path, entry] : content)
    out[path] = {static_cast<int>(entry.kind), entry.mode, entry.size, entry.text};
  return out;
}

FolderContent content_from_json(const nlohmann::json& value) {
  FolderContent out;
  for (const auto& [path, entry] : value.items()) {
    const int kind = entry.at(0).get<int>();
    if (kind < 0 || kind > static_cast<int>(FolderEntry::Kind::Link))
      throw Error(ErrorKind::Invalid, "no kind of file");
    out[path] = {static_cast<FolderEntry::Kind>(kind), entry.at(1).get<mode_t>(), entry.at(2).get<uint64_t>(),
                 entry.at(3).get<std::string>()};
  }
  return out;
}

FolderChanges changes(const FolderContent& before, const FolderContent& after) {
  FolderChanges out;
  for (const auto& [path, entry] : after) {
    const auto earlier = before.find(path);
    if (earlier == before.end() || earlier->second != entry) out.written.emplace(path, entry);
  }
  for (const auto& [path, entry] : before)
    if (!after.contains(path)) out.removed.push_back(path);
  return out;
}

void save_files(const fs::path& folder, const FolderContent& written, const fs::path& to) {
  make_dirs(to, 0700);
  size_t number = 0;
  for (const auto& [path, entry] : written) {
    if (entry.kind != FolderEntry::Kind::File) continue;
    const auto [place, name] = place_of(folder, path, false);
    struct stat status {};
    const UniqueFd from = place.open_file(name, status);
    const UniqueFd copy = open_file(to / std::to_string(number++), O_WRONLY | O_CREAT | O_EXCL, 0600);
    copy_to(from.get(), copy.get(), path);
  }
}

void make_changes(const FolderChanges& changes, const fs::path& files, const fs::path& root) {
  const fs::path folder = fs::canonical(root);
  for (auto path = changes.removed.rbegin(); path != changes.removed.rend(); ++path) {
    const auto [place, name] = place_of(folder, *path, false);
    place.remove(name);
  }
  size_t number = 0;
  for (const auto& [path, entry] : changes.written) {
    const auto [place, name] = place_of(folder, path, true);
    switch (entry.kind) {
      case FolderEntry::Kind::Folder:
        place.make_folder(name).set_mode(entry.mode);
        break;
      case FolderEntry::Kind::Link:
        place.make_link(name, entry.text);
        break;
      case FolderEntry::Kind::File: {
        const UniqueFd from = open_file(files / std::to_string(number++), O_RDONLY);
        copy_to(from.get(), place.create_file(name, entry.mode).get(), path);
        break;
      }
    }
  }
}

}  // namespace kiln::executor
