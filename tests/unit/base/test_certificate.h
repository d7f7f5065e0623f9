#pragma once

#include <memory>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string>

#include "base/fs.h"

namespace kiln {

// A key and a certificate for 127.0.0.1 and localhost that it has signed itself, as PEM files of a folder.
class TestCertificate {
 public:
  TestCertificate(const fs::path& folder, const std::string& name)
      : certificate(folder / (name + ".crt")), key(folder / (name + ".key")) {
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> pair(::EVP_EC_gen("P-256"), ::EVP_PKEY_free);
    const std::unique_ptr<X509, void (*)(X509*)> x509(::X509_new(), ::X509_free);
    ::X509_set_version(x509.get(), X509_VERSION_3);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(x509.get()),
                       static_cast<long>(std::hash<std::string>{}(name) >> 8));
    ::X509_gmtime_adj(::X509_getm_notBefore(x509.get()), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(x509.get()), 365 * 86400);
    ::X509_set_pubkey(x509.get(), pair.get());
    X509_NAME* const subject = ::X509_get_subject_name(x509.get());
    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    ::X509_set_issuer_name(x509.get(), subject);
    X509_EXTENSION* const names =
        ::X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    ::X509_add_ext(x509.get(), names, -1);
    ::X509_EXTENSION_free(names);
    ::X509_sign(x509.get(), pair.get(), ::EVP_sha256());
    write(certificate, [&](BIO* out) { ::PEM_write_bio_X509(out, x509.get()); });
    write(key, [&](BIO* out) {
      ::PEM_write_bio_PrivateKey(out, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    write(locked = folder / (name + ".locked"), [&](BIO* out) {
      char word[] = "word";
      ::PEM_write_bio_PrivateKey(out, pair.get(), ::EVP_aes_128_cbc(), nullptr, 0, nullptr, word);
    });
  }

  fs::path certificate, key, locked;  // `locked`: the key under a passphrase

 private:
  template <class Writer>
  static void write(const fs::path& file, const Writer& writer) {
    const std::unique_ptr<BIO, void (*)(BIO*)> out(::BIO_new(::BIO_s_mem()), ::BIO_free_all);
    writer(out.get());
    char* bytes = nullptr;
    const long size = ::BIO_get_mem_data(out.get(), &bytes);
    write_file_atomic(file, {bytes, static_cast<size_t>(size)}, 0600);
  }
};

}  // namespace kiln
