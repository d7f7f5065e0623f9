#include "registry/server/registry_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

// Samples of an exposition; every line must be one, or belong to the family that was announced last.
std::map<std::string, double> samples(const std::string& text) {
  static const std::regex kHelp("# HELP ([a-z_]+) [^\\n]+"),
      kType("# TYPE ([a-z_]+) (counter|gauge|histogram)"),
      kSample("([a-z_]+)((?:\\{[a-z]+=\"[^\"\\\\]*\"(?:,[a-z]+=\"[^\"\\\\]*\")*\\})?) ([-+.e0-9]+)");
  std::map<std::string, double> out;
  std::set<std::string> families;
  std::string family, helped, line;
  EXPECT_TRUE(text.ends_with('\n'));
  for (std::istringstream lines(text); std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) {
      helped = match[1];
    } else if (std::regex_match(line, match, kType)) {
      family = match[1];
      EXPECT_EQ(helped, family);
      EXPECT_TRUE(families.insert(family).second) << family << " comes twice";
    } else if (std::regex_match(line, match, kSample)) {
      EXPECT_TRUE(match[1].str().starts_with(family)) << line;
      EXPECT_TRUE(out.emplace(match[1].str() + match[2].str(), std::stod(match[3])).second) << line;
    } else {
      ADD_FAILURE() << "no line of the format: " << line;
    }
  }
  return out;
}

TEST(RegistryMetrics, CountWhatWasAskedAndHowLongItTook) {
  RegistryMetrics metrics;
  for (int i = 0; i < 4; ++i) metrics.request_began();
  metrics.request_ended("blobs", "GET", 200, std::chrono::milliseconds(3));
  metrics.request_ended("blobs", "GET", 404, std::chrono::seconds(60));
  metrics.request_ended("blobs", "BREW", 405, std::chrono::milliseconds(1));
  metrics.sent(7);
  metrics.received(9);
  const auto read = samples(metrics.text());
  const std::string requests = "kiln_registry_requests_total{endpoint=\"blobs\",method=";
  EXPECT_EQ(read.at(requests + "\"GET\",code=\"200\"}"), 1);
  EXPECT_EQ(read.at(requests + "\"GET\",code=\"404\"}"), 1);
  EXPECT_EQ(read.at(requests + "\"other\",code=\"405\"}"), 1) << "clients do not choose labels";
  EXPECT_EQ(read.at("kiln_registry_requests_in_flight"), 1);
  EXPECT_EQ(read.at("kiln_registry_blob_sent_bytes_total"), 7);
  EXPECT_EQ(read.at("kiln_registry_blob_received_bytes_total"), 9);
  const std::string times = "kiln_registry_request_duration_seconds",
                    labels = "{endpoint=\"blobs\",method=\"GET\"";
  EXPECT_EQ(read.at(times + "_bucket" + labels + ",le=\"0.001\"}"), 0);
  EXPECT_EQ(read.at(times + "_bucket" + labels + ",le=\"0.005\"}"), 1);
  EXPECT_EQ(read.at(times + "_bucket" + labels + ",le=\"30\"}"), 1);
  EXPECT_EQ(read.at(times + "_bucket" + labels + ",le=\"+Inf\"}"), 2);
  EXPECT_EQ(read.at(times + "_count" + labels + "}"), 2);
  EXPECT_DOUBLE_EQ(read.at(times + "_sum" + labels + "}"), 60.003);
}

TEST(RegistryMetrics, TheServerCountsItsAnswersAsTheyWere) {
  TestRegistry at;
  const HttpClient client;
  const auto ask = [&](std::string method, const std::string& target, HttpHeaders headers = {},
                       std::string body = {}) {
    return client
        .send({.method = std::move(method),
               .url = at.url(target),
               .headers = std::move(headers),
               .body = HttpBody::of_text(std::move(body))})
        .status;
  };
  const std::string blob = "/v2/a/blobs/" + sha256("0123456789").text();
  ask("POST", "/v2/a/blobs/uploads/?digest=" + sha256("0123456789").text(), {}, "0123456789");
  ask("GET", blob);
  ask("HEAD", blob);
  ask("GET", blob, {{"Range", "bytes=2-4"}});
  ask("GET", blob, {{"Range", "bytes=99-"}});
  ask("GET", blob, {{"If-None-Match", "*"}});
  ask("GET", "/v2/a/blobs/" + sha256("absent").text());
  ask("GET", "/v2/a/nonsense");
  at.server.stop();  // the last request is counted when its connection has seen to it
  const auto read = samples(at.registry.metrics().text());
  const auto count = [&](const std::string& endpoint, const std::string& method, int code) {
    const auto it = read.find("kiln_registry_requests_total{endpoint=\"" + endpoint + "\",method=\"" +
                              method + "\",code=\"" + std::to_string(code) + "\"}");
    return it == read.end() ? 0 : it->second;
  };
  EXPECT_EQ(count("uploads", "POST", 201), 1);
  EXPECT_EQ(count("blobs", "GET", 200), 1);
  EXPECT_EQ(count("blobs", "HEAD", 200), 1);
  EXPECT_EQ(count("blobs", "GET", 206), 1);
  EXPECT_EQ(count("blobs", "GET", 416), 1);
  EXPECT_EQ(count("blobs", "GET", 304), 1);
  EXPECT_EQ(count("blobs", "GET", 404), 1);
  EXPECT_EQ(count("other", "GET", 404), 1);
  EXPECT_EQ(read.at("kiln_registry_blob_received_bytes_total"), 10);
  EXPECT_EQ(read.at("kiln_registry_blob_sent_bytes_total"), 13) << "bodies only";
  EXPECT_EQ(read.at("kiln_registry_requests_in_flight"), 0);
}

TEST(RegistryMetrics, ATransferThatBreaksOffCountsWithWhatWasSent) {
  TestRegistry at;
  const std::string content(64u << 20, 'x');  // more than the sockets between them hold
  const Descriptor blob = at.store.put(content, media::kLayer);
  uint64_t taken = 0;
  const HttpSink take_a_part = [&](const HttpResponse&, std::string_view bytes) {
    if ((taken += bytes.size()) > 8u << 20) throw Error(ErrorKind::Failed, "enough");
  };
  HttpRequest request{.url = at.url("/v2/a/blobs/" + blob.digest.text())};
  EXPECT_THROW(HttpClient().send(request, take_a_part), Error);
  at.server.stop();
  const double sent = samples(at.registry.metrics().text()).at("kiln_registry_blob_sent_bytes_total");
  EXPECT_GE(sent, 7u << 20);
  EXPECT_LT(sent, content.size());
}

}  // namespace
}  // namespace kiln::registry
