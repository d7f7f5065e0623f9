// The filter of our own making against libseccomp's of the same profile: same verdict for every call.
#include "steps/seccomp_filter.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "steps/seccomp_profile.h"

namespace kiln::steps {
namespace {

constexpr uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM;

// What the kernel would make of the program.
uint32_t verdict(std::span<const sock_filter> program, const seccomp_data& call) {
  uint32_t a = 0;
  for (size_t at = 0; at < program.size(); ++at) {
    const sock_filter& i = program[at];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&call) + i.k, sizeof a);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        at += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        at += a > i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        at += a & i.k ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        ADD_FAILURE() << "instruction " << i.code << " at " << at << " is none that the kernel runs ahead";
        return 0;
    }
  }
  ADD_FAILURE() << "the program has no end";
  return 0;
}

seccomp_data call(uint32_t architecture, uint32_t number, uint64_t argument = 0) {
  return {static_cast<int>(number), architecture, 0, {argument, 0, 0, 0, 0, 0}};
}

#if defined(__x86_64__)

// The same profile by libseccomp's compiler.
std::vector<sock_filter> by_libseccomp() {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                 &seccomp_release);
  seccomp_arch_add(filter.get(), SCMP_ARCH_X86);
  const auto allow = [&](const char* name, std::vector<scmp_arg_cmp> conditions = {},
                         uint32_t action = SCMP_ACT_ALLOW) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR)
      seccomp_rule_add_array(filter.get(), action, number, static_cast<unsigned>(conditions.size()),
                             conditions.data());
  };
  const auto first = [](scmp_compare operation, uint64_t value) {
    return std::vector<scmp_arg_cmp>{{0, operation, value, 0}};
  };
  for (const char* name : allowed_system_calls()) allow(name);
  for (const uint64_t persona : {0ul, 0x0008ul, 0x20000ul, 0x20008ul, 0xfffffffful})
    allow("personality", first(SCMP_CMP_EQ, persona));
  allow("clone", first(SCMP_CMP_MASKED_EQ, 0x7E020000));
  allow("clone3", {}, SCMP_ACT_ERRNO(ENOSYS));
  allow("socket", first(SCMP_CMP_LT, AF_VSOCK));
  allow("socket", first(SCMP_CMP_GT, AF_VSOCK));
  const UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
  EXPECT_EQ(seccomp_export_bpf(filter.get(), file.get()), 0);
  std::vector<sock_filter> program(static_cast<size_t>(::lseek(file.get(), 0, SEEK_END)) /
                                   sizeof(sock_filter));
  EXPECT_EQ(::pread(file.get(), program.data(), program.size() * sizeof(sock_filter), 0),
            static_cast<ssize_t>(program.size() * sizeof(sock_filter)));
  return program;
}

TEST(SeccompFilter, EveryCallHasTheVerdictOfLibseccomp) {
  const std::vector<sock_filter> theirs = by_libseccomp();
  const std::span<const sock_filter> ours = seccomp_program();
  std::vector<uint64_t> arguments{0,          1,
                                  7,          8,
                                  9,          0x20000,
                                  0x20007,    0x20008,
                                  0x20009,    0xfffffffe,
                                  0xffffffff, AF_VSOCK - 1,
                                  AF_VSOCK,   AF_VSOCK + 1,
                                  SIGCHLD,    0x3d0f00,
                                  0x1200011};
  for (int bit = 0; bit < 32; ++bit) arguments.push_back(uint64_t{1} << bit);
  std::vector<uint32_t> numbers{0x3fffffff, 0x40000000, 0x40000001, 0x40000200,
                                0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (uint32_t number = 0; number < 2000; ++number) numbers.push_back(number);
  for (const uint32_t architecture : std::initializer_list<uint32_t>{AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
                                                                     AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0})
    for (const uint32_t number : numbers)
      for (const uint64_t argument : arguments) {
        const seccomp_data asked = call(architecture, number, argument);
        ASSERT_EQ(verdict(ours, asked), verdict(theirs, asked))
            << std::hex << "architecture " << architecture << ", call " << std::dec << number << std::hex
            << ", argument " << argument;
      }
}

TEST(SeccompFilter, WhatStandsAboveAnArgumentDeceivesNobody) {
  const uint64_t above = uint64_t{1} << 32;
  const auto of = [](long number, uint64_t argument) {
    return verdict(seccomp_program(), call(AUDIT_ARCH_X86_64, static_cast<uint32_t>(number), argument));
  };
  EXPECT_EQ(of(SYS_socket, above | AF_VSOCK), kRefused);  // the kernel sees AF_VSOCK
  EXPECT_EQ(of(SYS_clone, above | CLONE_NEWUSER), kRefused);
  EXPECT_EQ(of(SYS_personality, above | 0x0040000), kRefused);  // ADDR_NO_RANDOMIZE
  EXPECT_EQ(of(SYS_socket, AF_INET), SECCOMP_RET_ALLOW);
}

TEST(SeccompFilter, IsAFractionOfOneWithARulePerCall) {
  EXPECT_LT(seccomp_program().size(), 256u) << "libseccomp's has " << by_libseccomp().size();
}

#endif

TEST(SeccompFilter, TablesWithoutRegularityReachTheirVerdicts) {
  using When = SystemCallVerdict::When;
  // Every other call, each with another errno: more ranges and verdicts than a branch can skip.
  SystemCallTable scattered{.architecture = 7, .calls = {}, .otherwise = kRefused};
  for (uint32_t number = 1; number < 1200; number += 2)
    scattered.calls[number] = {When::Always, SECCOMP_RET_ERRNO | number, {}};
  scattered.calls[2000] = {When::NoneOfBits, SECCOMP_RET_ALLOW, {0x30}};
  scattered.calls[2001] = {When::OneOf, SECCOMP_RET_ALLOW, {5, 6}};
  scattered.calls[2002] = {When::NotEqual, SECCOMP_RET_ALLOW, {5}};
  SystemCallTable empty{.architecture = 8, .calls = {}, .otherwise = SECCOMP_RET_LOG};
  const std::vector<SystemCallTable> tables{scattered, empty};
  const std::vector<sock_filter> program = seccomp_filter(tables, SECCOMP_RET_TRAP);
  for (uint32_t number = 0; number < 1300; ++number)
    ASSERT_EQ(verdict(program, call(7, number)),
              number % 2 == 1 && number < 1200 ? SECCOMP_RET_ERRNO | number : kRefused)
        << number;
  for (uint32_t argument = 0; argument < 64; ++argument) {
    EXPECT_EQ(verdict(program, call(7, 2000, argument)), argument & 0x30 ? kRefused : SECCOMP_RET_ALLOW);
    EXPECT_EQ(verdict(program, call(7, 2001, argument)),
              argument == 5 || argument == 6 ? SECCOMP_RET_ALLOW : kRefused);
    EXPECT_EQ(verdict(program, call(7, 2002, argument)), argument == 5 ? kRefused : SECCOMP_RET_ALLOW);
  }
  EXPECT_EQ(verdict(program, call(8, 1)), SECCOMP_RET_LOG);
  EXPECT_EQ(verdict(program, call(9, 1)), SECCOMP_RET_TRAP);
}

}  // namespace
}  // namespace kiln::steps
