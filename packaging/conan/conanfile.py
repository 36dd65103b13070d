"""A recipe for Conan 2 that takes libartifact from the tarballs of its release. scripts/dist puts it into target/dist/conan,
with a conandata.yml that has their addresses and digests."""

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, get, rm


class LibartifactConan(ConanFile):
    name = "libartifact"
    description = "Saves compiled code to a file, checks that it fits the host, and loads it again in microseconds"
    license = "MIT OR Apache-2.0"
    topics = ("elf", "code-cache", "jit", "linker")
    package_type = "library"
    settings = "os", "arch"
    # Conan has no setting for the C library.
    options = {"shared": [True, False], "libc": ["gnu", "musl"]}
    default_options = {"shared": True, "libc": "gnu"}
    required_conan_version = ">=2.0"

    def set_version(self):
        self.version = self.version or self.conan_data["version"]

    @property
    def _tarball(self):
        machine = {"armv8": "aarch64"}.get(str(self.settings.arch), self.settings.arch)
        return self.conan_data["tarballs"].get(f"{machine}-linux-{self.options.libc}")

    def validate(self):
        if self.settings.os != "Linux" or not self._tarball:
            wanted = f"{self.settings.os}, {self.settings.arch}, {self.options.libc}"
            raise ConanInvalidConfiguration(f"expected one of {', '.join(self.conan_data['tarballs'])}; found {wanted}")

    def build(self):
        get(self, **self._tarball, strip_root=True)
        rm(self, "libartifact.a" if self.options.shared else "libartifact.so*", os.path.join(self.build_folder, "lib"))

    def package(self):
        copy(self, "LICENSE-*", self.build_folder, os.path.join(self.package_folder, "licenses"))
        for folder in "bin", "include", "lib", "share":
            copy(self, "*", os.path.join(self.build_folder, folder), os.path.join(self.package_folder, folder))

    def package_info(self):
        # find_package() finds the CMake package of the tarball, which knows what else to link.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "Artifact")]
        self.cpp_info.set_property("pkg_config_name", "artifact")
        self.cpp_info.libs = ["artifact"]
        if not self.options.shared and self.options.libc == "gnu":
            self.cpp_info.system_libs = ["util", "rt", "pthread", "m", "dl"]
