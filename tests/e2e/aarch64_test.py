#!/usr/bin/env python3
"""The sandbox program for aarch64: compiled with the cross compiler, and run by qemu up to where a step would start."""

import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from harness import SOURCE, main

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
STARTED, SETUP_FAILED = 0, 2
PROBE = 1 << 7


def flags_of(file):
    """What CMake compiles this file of the program with, less what is this machine's own."""
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti", "-fno-stack-protector",
             "-fno-pie", "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections", f"-I{SOURCE}"]
    return flags + (["-fno-builtin", "-fno-tree-loop-distribute-patterns"] if file.name == "libc_text.cc" else [])


def description(mount_point, lower, flags):
    """steps/wire.h: the header, then the words."""
    header = struct.pack("<10IiIQ", flags, 0, 0, 0, 1, 0, 1, 0, 0, 0, -1, 0, 0)
    words = [mount_point, "", "kiln", "/", "", lower, "true"]
    return header + b"".join(str(word).encode() + b"\0" for word in words)


class Aarch64Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which(COMPILER):
            raise unittest.SkipTest(f"{COMPILER} is not installed")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.place = pathlib.Path(cls.folder.name)
        objects = []
        for file in sorted((SOURCE / "steps/helper").glob("*.cc")):
            objects.append(cls.place / (file.stem + ".o"))
            subprocess.run([COMPILER, *flags_of(file), "-c", file, "-o", objects[-1]], check=True)
        cls.program = cls.place / "kiln-sandbox"
        subprocess.run([COMPILER, "-static", "-no-pie", "-nostdlib", "-Wl,--gc-sections", *objects, "-o", cls.program],
                       check=True)

    def run_program(self, lower, flags):
        """The first thing that the program reports: event, errno, message."""
        if not shutil.which(EMULATOR):
            self.skipTest(f"{EMULATOR} is not installed")
        if os.geteuid() != 0:
            self.skipTest("needs root of the machine")
        mount_point = self.place / "mnt"
        mount_point.mkdir(exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status, status_inside = os.pipe()
        words = os.memfd_create("description")
        os.write(words, description(mount_point, lower, flags))

        def place_descriptors():
            for target, fd in enumerate([os.dup(theirs.fileno()), os.dup(status_inside), os.dup(words)], 3):
                os.dup2(fd, target)

        child = subprocess.Popen(["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
                                  shutil.which(EMULATOR), self.program],
                                 close_fds=False, preexec_fn=place_descriptors)
        os.close(status_inside)
        with ours, theirs, os.fdopen(status, "rb") as reader:
            record = reader.read(264)
            child.wait(timeout=60)
        os.close(words)
        event, code, _, _, message = struct.unpack("<Iii4xq240s", record)
        return event, code, message.split(b"\0")[0].decode()

    def test_it_builds_a_root(self):
        lower = self.place / "lower"
        lower.mkdir()
        self.assertEqual(self.run_program(lower, PROBE), (STARTED, 0, ""))

    def test_it_says_what_is_missing(self):
        event, _, message = self.run_program(self.place / "none", PROBE)
        self.assertEqual((event, message), (SETUP_FAILED, f"cannot open the layer {self.place}/none"))


if __name__ == "__main__":
    main()
