# What there is to do here. CMakeLists.txt builds and installs the library; this only calls it.
.PHONY: help demo test header tsan bench docs deb matrix machines fuzz format

help: ## What can be made
	@sed -n 's/^\([a-z]*\): ##/  make \1	/p' Makefile

demo: ## Pack compiled code into a file; open it in another process, check that it fits, run it
	@scripts/setup demo
	@demo/run

test: ## Every test: Rust, C against both libraries, valgrind, sanitizers, programs that use the installed copy
	@scripts/setup test
	@scripts/test

header: ## include/artifact.h, from the doc comments in src/
	@ARTIFACT_UPDATE_HEADER=1 cargo test --quiet --features header --test header

tsan: ## Threads under ThreadSanitizer; needs a nightly toolchain
	@scripts/tsan

bench: ## How long opening, saving and verifying take, against the raw system calls and BLAKE3
	@scripts/setup demo
	@benches/run

docs: ## The reference of both headers, in target/docs
	@scripts/setup docs
	@scripts/docs

deb: ## Debian packages, in target/deb
	@scripts/setup deb
	@scripts/deb

matrix: ## The tests in every build type with every generator
	@scripts/setup test
	@scripts/matrix

machines: ## The tests on aarch64, s390x and i686, emulated
	@scripts/setup demo
	@scripts/machine aarch64
	@scripts/machine s390x
	@scripts/machine i686

fuzz: ## Hostile files and sequences of calls, each kind for SECONDS_PER_TARGET (30)
	@scripts/setup demo
	@scripts/fuzz

format: ## Rust and C sources as CI wants them
	@cargo fmt --all
	@clang-format -i $$(git ls-files '*.c' '*.cc' '*.cpp' '*.hpp' 'c_tests/*.h')
