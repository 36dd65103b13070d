# Common tasks. CMakeLists.txt builds and installs the library; these targets call it and cargo.
.PHONY: help demo test header tsan bench peers wheel docs site deb dist matrix machines fuzz format

help: ## List these targets
	@sed -n 's/^\([a-z]*\): ##/  make \1	/p' Makefile

demo: ## Save compiled code to a file; open it in another process, check that it fits, and run it
	@scripts/setup demo
	@demo/run

test: ## Run every test: Rust, C with both libraries, valgrind, sanitizers, programs that use an installed copy
	@scripts/setup test
	@scripts/test

header: ## Generate include/artifact.h from the doc comments in src/
	@ARTIFACT_UPDATE_HEADER=1 cargo test --quiet --features header --test header

tsan: ## Run the thread tests under ThreadSanitizer; needs a nightly toolchain
	@scripts/tsan

bench: ## Measure opening, saving, verifying, linking, loading and starting against system calls, BLAKE3, linkers and dlopen
	@scripts/setup demo
	@benches/run

peers: ## Measure the first call of compiled code against LLVM, Wasmtime and dlopen; --save with benches/peers/run
	@scripts/setup peers
	@benches/peers/run

wheel: ## Build the Python wheel of this machine in target/wheels
	@scripts/setup demo
	@scripts/wheel

docs: ## Build the reference of both headers in target/docs
	@scripts/setup docs
	@scripts/docs

site: ## Build the one-page site in target/site
	@scripts/setup site
	@scripts/site

deb: ## Build Debian packages in target/deb
	@scripts/setup deb
	@scripts/deb

dist: ## Build the tarballs and wheels of a release and recipes for Conan and vcpkg in target/dist, and use them
	@scripts/setup dist
	@scripts/dist
	@scripts/test-dist

matrix: ## Run the tests in every build type with every generator
	@scripts/setup test
	@scripts/matrix

machines: ## Run the C tests on aarch64, s390x and i686 under emulation
	@scripts/setup demo
	@scripts/machine aarch64
	@scripts/machine s390x
	@scripts/machine i686

fuzz: ## Fuzz with hostile files and sequences of calls, each target for SECONDS_PER_TARGET (30)
	@scripts/setup demo
	@scripts/fuzz

format: ## Format the Rust and C sources as CI requires
	@cargo fmt --all
	@clang-format -i $$(git ls-files '*.c' '*.cc' '*.cpp' '*.hpp' 'c_tests/*.h' 'remotes/*.h')
